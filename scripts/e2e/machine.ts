/** What a machine does to a running process: it stands still, or finds the disk full. */
import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { FaultFleet } from './fault-fleet.ts'

const pidOf = async (net: FaultFleet, id: string): Promise<number> => {
  const { pid } = await net.statusOf(id)
  if (pid === undefined) throw new Error(`${id} is not running`)
  return pid
}

/** The processes of these hosts stand still (SIGSTOP) until the answer is called, which lets all of them go on. */
export const stopHosts = async (net: FaultFleet, ids: readonly string[]): Promise<() => void> => {
  const pids = await Promise.all(ids.map((id) => pidOf(net, id)))
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  return () => {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }
}

export const ledgerFile = (net: FaultFleet, id: string): string => join(net.directory.ledger(id), 'ledger.mdb')

/** Whether this system can bound the size of a running process's files: Linux with util-linux can. */
export const CAN_FILL_DISKS = spawnSync('prlimit', ['--pid', String(process.pid), '--fsize']).status === 0

/** From now on the ledger of this host finds no room to grow, as on a full disk: its writes are cut short. Ends with the process. */
export const fillDisk = async (net: FaultFleet, id: string): Promise<void> => {
  const room = statSync(ledgerFile(net, id)).size
  const pid = await pidOf(net, id)
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--fsize=${room}:`])
  if (status !== 0) throw new Error(`prlimit: ${String(stderr)}`)
}
