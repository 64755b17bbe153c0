/** What a supervisor says of its start, as progress on the terminal: one line a step. */
import type { CliContext } from '../cli/context.ts'
import type { Progress } from '../cli/progress.ts'
import type { StartMessage } from './state.ts'

export const showSteps = ({ progress }: Pick<CliContext, 'progress'>): ((message: StartMessage) => void) => {
  let shown: Progress | undefined
  return (message) => {
    switch (message.type) {
      case 'step':
        shown = progress(message.label, message.total)
        break
      case 'advance':
        shown?.advance(1, message.note)
        break
      case 'done':
        shown?.done()
        shown = undefined
        break
      case 'failed':
        shown?.fail('stopped')
        shown = undefined
        break
      case 'ready':
        break
    }
  }
}
