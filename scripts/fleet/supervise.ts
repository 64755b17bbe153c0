/**
 * The supervisor's process: a supervisor, its control socket, and the two ways it hears that it is to end: a signal, and the
 * end of the one who started it.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { serveControl, type ControlRequest, type ControlServer } from '../../nodes/runtime/control.ts'
import type { Answer } from '../../nodes/runtime/host.ts'
import { LedgerLocked } from '../../nodes/runtime/ledger-lock.ts'
import type { FleetDirectory } from './directory.ts'
import { NetworkFileError, readNetwork } from './network.ts'
import { planNetwork } from './plan.ts'
import type { StartMessage, Steps } from './state.ts'
import { nodeCount } from './status.ts'
import { createSupervisor, type Supervisor } from './supervisor.ts'

const tell = (message: StartMessage): void => {
  if (process.connected) process.send?.(message)
}
const steps: Steps = {
  step: (label, total) => tell({ type: 'step', label, total }),
  advance: (note) => tell({ type: 'advance', note }),
  done: () => tell({ type: 'done' }),
}

/**
 * Runs the fleet of a directory whose network file is there, until it is told to end.
 * @param detach lives on when the parent disconnects after `ready`
 */
export const supervise = async (directory: FleetDirectory, { detach }: { readonly detach: boolean }): Promise<void> => {
  const ends = createEnd()
  let supervisor: Supervisor | undefined
  let control: ControlServer | undefined
  try {
    const plan = planNetwork(await readNetwork(directory.networkFile))
    supervisor = await createSupervisor(plan, directory)
    const running = supervisor
    control = await serveControl(directory.supervisorSocket, (request) => answer(running, ends.end, request))
    let ready = false
    process.on('SIGTERM', ends.end)
    process.on('SIGINT', ends.end)
    process.on('disconnect', () => {
      if (!detach || !ready) ends.end()
    })
    const started = running.start(steps)
    // What ends first: the start, or the wish to stop it.
    await Promise.race([started, ends.wanted])
    if (!ends.isWanted()) {
      ready = true
      tell({ type: 'ready', nodes: nodeCount(plan) })
      await ends.wanted
    }
    started.catch(() => undefined)
    await running.down()
    // The answer to `down` goes out before its socket closes.
    await nextTurn()
  } catch (error) {
    const { message } = error as Error
    await supervisor?.down()
    const usage = error instanceof NetworkFileError
    const text = error instanceof LedgerLocked ? `this network runs already (${message})` : message
    tell({ type: 'failed', message: text, usage })
    process.exitCode = 1
    process.stderr.write(`${(error as Error).stack}\n`)
  } finally {
    await control?.close()
    if (process.connected) process.disconnect()
  }
}

const createEnd = () => {
  let isWanted = false
  let resolve: (() => void) | undefined
  const wanted = new Promise<void>((settle) => (resolve = settle))
  return {
    wanted,
    isWanted: () => isWanted,
    end: () => {
      isWanted = true
      resolve?.()
    },
  }
}

const answer = async (supervisor: Supervisor, end: () => void, { name, args }: ControlRequest): Promise<Answer> => {
  const done = async (act: Promise<void>): Promise<Answer> => {
    await act
    return { ok: true, value: supervisor.status() }
  }
  const id = typeof args['id'] === 'string' ? args['id'] : ''
  try {
    switch (name) {
      case 'status':
        return { ok: true, value: supervisor.status() }
      case 'start-host':
        return await done(supervisor.startHost(id))
      case 'stop-host':
        return await done(supervisor.stopHost(id))
      case 'kill-host':
        return await done(supervisor.killHost(id))
      case 'restart-host':
        return await done(supervisor.restartHost(id))
      case 'accept-ledger':
        return await done(supervisor.acceptLedger(id))
      case 'restart-nats':
        return await done(supervisor.restartNats(args['kill'] === true))
      case 'down':
        end()
        return await done(supervisor.down())
      default:
        return { ok: false, error: { code: 'UNKNOWN_COMMAND', detail: name } }
    }
  } catch (error) {
    return { ok: false, error: { code: 'FAILED', detail: (error as Error).message } }
  }
}
