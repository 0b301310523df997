// What is too large to be a request is dropped as it comes in: kept until its turn, it would cost a megabyte each.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { Refusals } from '#hub/audit/refusals.ts'
import { HubBus, type BusParts } from '#hub/bus/bus.ts'
import type { Operations } from '#hub/bus/operations.ts'
import type { Channel, ChannelMessage } from '#shared/host/channel.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { MAX_ENVELOPE_BYTES } from '#shared/protocol/envelope.ts'
import { ZtError } from '#shared/errors/error.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { eventually } from '#test/support/eventually.ts'

it('counts a message that is too large, and neither queues nor opens it', async () => {
  const counted: string[] = []
  let opened = 0
  let take: (message: ChannelMessage) => unknown = () => undefined
  const channel = {
    subscribe: (subject: string, handler: typeof take) => {
      if (subject === 'zt.hub.>') take = handler
    },
    flush: async () => undefined,
    onStatus: () => undefined,
    publish: () => undefined,
  }
  const gate = {
    senderOf: () => 'tag',
    hasRoom: () => true,
    open: () => {
      opened += 1
      throw new ZtError('ZT-400-MALFORMED', 'not an envelope')
    },
  }
  const refusals = {
    count: ({ code }: { code: string }) => void counted.push(code),
    record: async () => undefined,
  }
  const bus = new HubBus({
    gate: gate as unknown as BusParts['gate'],
    operations: {} as Operations,
    identity: () => {
      throw new Error('nothing is signed')
    },
    refusals: refusals as unknown as Refusals,
    clock: new ManualClock(0),
    log: silentLogger,
    denyList: () => '',
  })
  await bus.use(channel as unknown as Channel)
  take({ subject: 'zt.hub.hello.tag', data: new Uint8Array(MAX_ENVELOPE_BYTES) } as ChannelMessage)
  await eventually('the largest one to be opened', () => (opened === 1 ? true : undefined))
  for (let sent = 0; sent < 50; sent += 1)
    await take({
      subject: 'zt.hub.hello.tag',
      data: new Uint8Array(MAX_ENVELOPE_BYTES + 1),
    } as ChannelMessage)
  assert.deepEqual([counted.length, new Set(counted), opened], [50, new Set(['ZT-413-SIZE']), 1])
})
