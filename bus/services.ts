/**
 * Discovery as NATS micro services do it (ADR-32): each host answers PING, INFO and STATS under `$SRV`, so that `semops ls`
 * and any NATS tool find it.
 *
 * Invariant: on a second connection that carries no payment traffic, and no money subject is an endpoint: the default queue
 * group of micro services would split a host's traffic between two instances of it.
 */
import type { Role } from '../protocol/ids.ts'
import { BusError, type OpenOptions } from './bus.ts'
import { loginName, type HostLogin } from './logins.ts'
import { openRequestReply } from './nats-bus.ts'
import { serviceName } from './permissions.ts'
import type { RequestReply } from './request-reply.ts'

export const SERVICE_KINDS = ['ping', 'info', 'stats'] as const
export type ServiceKind = (typeof SERVICE_KINDS)[number]

type Metadata = Readonly<Record<string, string>>
type Identity<K extends ServiceKind> = {
  readonly type: `io.nats.micro.v1.${K}_response`
  readonly name: string
  readonly id: string
  readonly version: string
  readonly metadata: Metadata
}
type Endpoint = { readonly name: string; readonly subject: string; readonly queue_group: string }

/** The answers' JSON, field for field as ADR-32 has it; times in RFC 3339, durations in nanoseconds. */
export type ServiceAnswers = {
  readonly ping: Identity<'ping'>
  readonly info: Identity<'info'> & {
    readonly description: string
    readonly endpoints: readonly (Endpoint & { readonly metadata: Metadata })[]
  }
  readonly stats: Identity<'stats'> & {
    readonly started: string
    readonly endpoints: readonly (Endpoint & {
      readonly num_requests: number
      readonly num_errors: number
      readonly last_error: string
      readonly processing_time: number
      readonly average_processing_time: number
      /** What the host's `stats()` gave. */
      readonly data: unknown
    })[]
  }
}

export type ServiceDescription = {
  readonly role: Role
  /** Semantic version. */
  readonly version: string
  readonly description: string
  /** Asked for each answer: role, realm, state. */
  readonly metadata: () => Metadata
  /** Asked for each STATS: plain JSON, no payment ids. */
  readonly stats: () => unknown
  readonly startedAtMs: number
}

const VERSION = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/

const subjectOf = (kind: ServiceKind, ...of: readonly string[]): string => ['$SRV', kind.toUpperCase(), ...of].join('.')

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

/**
 * Answers discovery for the host of `connection` until that is closed: as `semops-<role>`, with the host's id.
 * @throws TypeError for a version that is not a semantic one.
 */
export const answerDiscovery = async (connection: RequestReply, service: ServiceDescription): Promise<void> => {
  const { version } = service
  const name = serviceName(service.role)
  const id = connection.name
  if (!VERSION.test(version)) throw new TypeError(`not a semantic version: ${JSON.stringify(version)}`)
  let requests = 0
  let nanoseconds = 0
  const own = { name: 'stats', subject: subjectOf('stats', name, id), queue_group: '' } as const
  const identity = <K extends ServiceKind>(kind: K): Identity<K> => ({
    type: `io.nats.micro.v1.${kind}_response`,
    name,
    id,
    version,
    metadata: service.metadata(),
  })
  const answers: { readonly [K in ServiceKind]: () => ServiceAnswers[K] } = {
    ping: () => identity('ping'),
    info: () => ({
      ...identity('info'),
      description: service.description,
      endpoints: [{ ...own, metadata: {} }],
    }),
    stats: () => {
      const began = process.hrtime.bigint()
      const data = service.stats()
      requests++
      nanoseconds += Number(process.hrtime.bigint() - began)
      const endpoint = {
        ...own,
        num_requests: requests,
        num_errors: 0,
        last_error: '',
        processing_time: nanoseconds,
        average_processing_time: Math.round(nanoseconds / requests),
        data,
      }
      return { ...identity('stats'), started: new Date(service.startedAtMs).toISOString(), endpoints: [endpoint] }
    },
  }
  await Promise.all(
    SERVICE_KINDS.flatMap((kind) =>
      [subjectOf(kind), subjectOf(kind, name), subjectOf(kind, name, id)].map((subject) =>
        connection.answer(subject, () => encode(answers[kind]())),
      ),
    ),
  )
}

/**
 * Opens the host's second connection and answers discovery on it. Dispose of the result to end it.
 * @throws BusError `permission` for a login that came without a service login.
 */
export const serveDiscovery = async (
  login: HostLogin,
  service: ServiceDescription,
  options: OpenOptions = {},
): Promise<RequestReply> => {
  if (login.service === undefined) throw new BusError('permission', `${loginName(login)} came without a login for $SRV`)
  const id = loginName(login.service)
  const { servers, ca } = login
  const connection = await openRequestReply({
    ...options,
    servers,
    ...(ca === undefined ? {} : { ca }),
    login: login.service,
    label: `${id} $SRV`,
  })
  await answerDiscovery(connection, service)
  return connection
}

export type DiscoverOptions = {
  readonly timeoutMs: number
  /** Resolve as soon as all of these have answered, or this many. Without it every answer within the time is waited for. */
  readonly expected?: readonly string[] | number
  /** Ask one service name, `semops-cpp`, or with `id` one host of it. */
  readonly name?: string
  readonly id?: string
}

const isAnswer = (value: unknown, kind: ServiceKind): boolean => {
  if (typeof value !== 'object' || value === null) return false
  const { type, name, id } = value as Readonly<Record<string, unknown>>
  return type === `io.nats.micro.v1.${kind}_response` && typeof name === 'string' && typeof id === 'string'
}

const parseAnswer = <K extends ServiceKind>(bytes: Uint8Array, kind: K): ServiceAnswers[K] | undefined => {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return isAnswer(value, kind) ? (value as ServiceAnswers[K]) : undefined
  } catch {
    return undefined
  }
}

/**
 * Asks every service, or those named, and returns one answer for each instance, by name and id. What does not read as an
 * answer is left out. `connection` is an observer's.
 */
export const discover = async <K extends ServiceKind>(
  connection: Pick<RequestReply, 'collect'>,
  kind: K,
  options: DiscoverOptions,
): Promise<readonly ServiceAnswers[K][]> => {
  const { timeoutMs, expected, name, id } = options
  const wanted = typeof expected === 'number' ? undefined : expected
  const found = new Map<string, ServiceAnswers[K]>()
  const ids = new Set<string>()
  let read = 0
  const take = (answers: readonly Uint8Array[]): void => {
    for (; read < answers.length; read++) {
      const answer = parseAnswer(answers[read] as Uint8Array, kind)
      if (answer === undefined) continue
      found.set(`${answer.name} ${answer.id}`, answer)
      ids.add(answer.id)
    }
  }
  const enough = (answers: readonly Uint8Array[]): boolean => {
    take(answers)
    if (typeof expected === 'number') return found.size >= expected
    return wanted !== undefined && wanted.every((one) => ids.has(one))
  }
  const of = name === undefined ? [] : id === undefined ? [name] : [name, id]
  take(await connection.collect(subjectOf(kind, ...of), new Uint8Array(0), { timeoutMs, enough }))
  return [...found.keys()].toSorted().map((key) => found.get(key) as ServiceAnswers[K])
}
