/** Hosts of a simulated network know of each other what a fleet's bundles would tell them. */
import { expect, it } from 'vitest'
import { dataCenter } from '../data-center/definition.ts'
import type { NodeServices } from './host-types.ts'
import { createSimNetwork, type SimSpec } from './sim-network.ts'

type Known = Pick<NodeServices, 'dataCenters' | 'peerRealms'>

it('hosts that are added together start with all their data centers and peer realms, the first one too', async () => {
  const known = new Map<string, Known>()
  const spec = (id: string): SimSpec => ({
    id,
    role: 'dc',
    operatorId: `${id.slice(0, 2)}-dc`,
    define: (services) => {
      const { self, dataCenters, peerRealms } = services
      known.set(self.id, { dataCenters, peerRealms })
      return dataCenter(services)
    },
  })
  const sim = createSimNetwork()
  await sim.addAll([spec('hu-dc-1'), spec('hu-dc-2'), spec('ro-dc-1')])
  expect(Object.fromEntries(known)).toEqual({
    'hu-dc-1': { dataCenters: ['hu-dc-1', 'hu-dc-2'], peerRealms: ['ro'] },
    'hu-dc-2': { dataCenters: ['hu-dc-1', 'hu-dc-2'], peerRealms: ['ro'] },
    'ro-dc-1': { dataCenters: ['ro-dc-1'], peerRealms: ['hu'] },
  })
})
