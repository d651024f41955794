'use strict'

// The cases of groups, by the classic protocol: see tests/clients/README.md. KafkaJS pushes; a member here keeps what was
// pushed until it is asked for.

const assert = require('node:assert/strict')
const { createInterface } = require('node:readline')
const { version } = require('kafkajs/package.json')

const ALL = [0, 1, 2]
const EACH = 20
const WAIT_MAX_MS = 30_000
/** What members are told: as short as a broker allows, unless the member is killed. */
const SESSION_MS = Number(process.env.OTTLA_SESSION_MS ?? 6_000)
/** A member that is to be killed does not stay for ever. */
const KILLED_WITHIN_MS = 300_000
/** What the mock broker has: it makes no topics for administrators. */
const MOCK_TOPIC = 'first-record'
/** KafkaJS tells of no assignment and no record but by calling back: between two looks at what it told. */
const LOOK_MS = 2

const byPartition = (value) => Object.fromEntries(ALL.map((partition) => [partition, value(partition)]))
const look = () => new Promise((resolve) => setTimeout(resolve, LOOK_MS))

/** Looks until it holds, for so long as anything may take. */
async function until(holds, what) {
  const deadline = Date.now() + WAIT_MAX_MS
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, `not within ${WAIT_MAX_MS} ms: ${what()}`)
    await look()
  }
}

class Member {
  constructor(kafka, topic, groupId, autoCommit) {
    this.topic = topic
    this.assigned = []
    this.pushed = []
    this.taken = {}
    this.isOpen = true
    // Nothing waits for a heartbeat, and an empty fetch holds up nothing.
    this.consumer = kafka.consumer({ groupId, sessionTimeout: SESSION_MS, heartbeatInterval: 100, maxWaitTimeInMs: 50 })
    const { GROUP_JOIN, REBALANCING, CRASH } = this.consumer.events
    this.consumer.on(GROUP_JOIN, ({ payload }) => (this.assigned = payload.memberAssignment[topic] ?? []))
    this.consumer.on(REBALANCING, () => (this.assigned = []))
    this.consumer.on(CRASH, ({ payload }) => {
      if (!payload.restart) this.crash = payload.error
    })
    // It joins in the background: with others, if they join too.
    this.started = this.start(autoCommit).catch((error) => (this.crash = error))
  }

  async start(autoCommit) {
    await this.consumer.connect()
    await this.consumer.subscribe({ topics: [this.topic], fromBeginning: true })
    await this.consumer.run({
      autoCommit,
      autoCommitInterval: autoCommit ? 100 : null,
      eachMessage: async ({ partition, message }) => {
        this.pushed.push({ partition, offset: Number(message.offset), value: message.value.toString() })
      },
    })
  }

  take() {
    if (this.crash) throw this.crash
    const taken = this.pushed
    this.pushed = []
    for (const { partition, offset } of taken) this.taken[partition] = offset + 1
    return taken
  }

  /** Of its partitions, all that was taken. */
  async commit() {
    const mine = Object.entries(this.taken).filter(([partition]) => this.assigned.includes(Number(partition)))
    await this.commitAt(Object.fromEntries(mine))
  }

  async commitAt(offsets) {
    const { topic } = this
    await this.consumer.commitOffsets(
      Object.entries(offsets).map(([partition, offset]) => ({
        topic,
        partition: Number(partition),
        offset: String(offset),
      }))
    )
  }

  async close() {
    if (!this.isOpen) return
    this.isOpen = false
    await this.started
    await this.consumer.disconnect()
  }
}

/** A topic, what lies in it, and the members of a case. */
class Session {
  constructor(matrix, topic) {
    this.matrix = matrix
    this.topic = topic
    this.lies = byPartition(() => [])
    this.members = []
    this.producer = matrix.producer({ idempotent: true }).client
  }

  async open() {
    await this.matrix.create(this.topic)
    await this.producer.connect()
  }

  async send(count = EACH) {
    const messages = []
    const first = byPartition((partition) => String(this.lies[partition].length))
    for (const partition of ALL) {
      for (let i = 0; i < count; i++) {
        const value = `${partition}-${this.lies[partition].length}`
        this.lies[partition].push(value)
        messages.push({ partition, value })
      }
    }
    const answers = await this.producer.send({ topic: this.topic, messages, acks: -1 })
    const offsets = Object.fromEntries(answers.map(({ partition, baseOffset }) => [partition, baseOffset]))
    assert.deepEqual(offsets, first, 'offsets of what was sent')
  }

  ends() {
    return byPartition((partition) => this.lies[partition].length)
  }

  join(group = this.topic, autoCommit = false) {
    const member = new Member(this.matrix.kafka, this.topic, group, autoCommit)
    this.members.push(member)
    return member
  }

  /** What is committed, by partition, without those that have nothing. */
  async committed(group = this.topic) {
    const [{ partitions }] = await this.matrix.admin.fetchOffsets({ groupId: group, topics: [this.topic] })
    const some = partitions.filter(({ offset }) => Number(offset) >= 0)
    return Object.fromEntries(some.map(({ partition, offset }) => [partition, Number(offset)]))
  }

  async isStable(memberCount) {
    const { groups } = await this.matrix.admin.describeGroups([this.topic])
    return groups[0].state === 'Stable' && groups[0].members.length === memberCount
  }

  async close() {
    await Promise.all(this.members.map((member) => member.close()))
    await this.producer.disconnect()
  }
}

/** What comes to some members, together, is held against what lies in the topic: every record once, in order. */
class Reader {
  constructor(session) {
    this.session = session
    this.next = byPartition(() => 0)
    // From where on records may come again, because they were not committed.
    this.repeats = undefined
  }

  /** Waits until the assignments are as they should be. No record may come meanwhile. */
  async settle(members, wanted, what) {
    const told = () => members.map(({ assigned }) => assigned)
    await until(
      () => {
        for (const member of members) this.nothingNew(member, `records while waiting for: ${what}`)
        return wanted(told())
      },
      () => `${what}: ${JSON.stringify(told())}`
    )
  }

  /** Waits until everything came up to these offsets, and answers what partitions' records came to each member. */
  async read(members, ends = this.session.ends()) {
    const read = members.map(() => new Set())
    await until(
      () => {
        for (const [who, member] of members.entries()) {
          for (const record of member.take()) {
            this.check(record, ends)
            read[who].add(record.partition)
          }
        }
        return ALL.every((partition) => this.next[partition] === ends[partition])
      },
      () => `read up to ${JSON.stringify(this.next)} of ${JSON.stringify(ends)}`
    )
    return read.map((partitions) => [...partitions].sort())
  }

  nothingNew(member, what) {
    assert.deepEqual(member.take().filter((record) => !this.isRepeated(record)), [], what)
  }

  isRepeated({ partition, offset, value }) {
    if (!this.repeats || offset < this.repeats[partition] || offset >= this.next[partition]) return false
    assert.equal(value, this.session.lies[partition][offset], `partition ${partition} offset ${offset} again`)
    return true
  }

  check({ partition, offset, value }, ends) {
    if (this.isRepeated({ partition, offset, value })) return
    const at = this.next[partition]
    assert.equal(offset, at, `next offset of partition ${partition}`)
    assert.ok(at < ends[partition], `offset ${at} of partition ${partition} came too early`)
    assert.equal(value, this.session.lies[partition][at], `partition ${partition} offset ${at}`)
    this.next[partition]++
  }
}

/** Nobody has the same, nothing is left. */
const covers = (assigned) => JSON.stringify(assigned.flat().sort()) === JSON.stringify(ALL)
/** That, and everybody has some. */
const shared = (assigned) => covers(assigned) && assigned.every((partitions) => partitions.length > 0)
const assignments = (members) => members.map(({ assigned }) => [...assigned].sort())

const CASES = {
  async subscribe(session) {
    await session.send()
    const member = session.join()
    await new Reader(session).read([member])
    assert.deepEqual(assignments([member]), [ALL], 'assignment')
    assert.deepEqual(await session.committed(), {}, 'committed by nobody')
  },

  /** One, then two, then one again. */
  async rebalance(session) {
    const reader = new Reader(session)
    const first = session.join()
    await reader.settle([first], shared, 'the first has all')
    await session.send()
    await reader.read([first])
    await first.commit()
    const both = [first, session.join()]
    await reader.settle(both, shared, 'both have some')
    await session.send()
    assert.deepEqual(await reader.read(both), assignments(both), 'who read')
    for (const member of both) await member.commit()
    await both[1].close()
    await reader.settle([first], shared, 'the first has all again')
    await session.send()
    await reader.read([first])
    await first.commit()
    assert.deepEqual(await session.committed(), session.ends(), 'committed at last')
  },

  /** A new member goes on where an old one said, and at the beginning of what it said nothing of. */
  async resume(session) {
    await session.send()
    const old = session.join()
    await new Reader(session).read([old])
    await old.commitAt({ 0: 5, 2: EACH })
    await old.close()
    const member = session.join()
    const reader = new Reader(session)
    reader.next = { 0: 5, 1: 0, 2: EACH }
    await session.send()
    await reader.read([member])
    await member.commit()
    assert.deepEqual(await session.committed(), session.ends(), 'committed at last')
  },

  async seek(session) {
    await session.send()
    const member = session.join()
    const reader = new Reader(session)
    await reader.read([member])
    for (const [partition, offset] of [[0, 3], [1, 0]]) {
      member.consumer.seek({ topic: session.topic, partition, offset: String(offset) })
      reader.next[partition] = offset
    }
    await reader.read([member])
  },

  async pause(session) {
    const member = session.join()
    const reader = new Reader(session)
    await reader.settle([member], shared, 'it has all')
    member.consumer.pause([{ topic: session.topic, partitions: [1] }])
    await session.send()
    await reader.read([member], { ...session.ends(), 1: 0 })
    member.consumer.resume([{ topic: session.topic, partitions: [1] }])
    await reader.read([member])
  },

  /** In the background, and when it leaves. */
  async 'auto-commit'(session) {
    await session.send()
    const member = session.join(session.topic, true)
    const reader = new Reader(session)
    await reader.read([member])
    let committed
    const isCommitted = async () => {
      committed = JSON.stringify(await session.committed())
      return committed === JSON.stringify(session.ends())
    }
    await until(isCommitted, () => `committed: ${committed}`)
    await session.send()
    await reader.read([member])
    await member.close()
    assert.deepEqual(await session.committed(), session.ends(), 'committed when it left')
  },

  /** Five members, three partitions. */
  async idle(session) {
    const members = Array.from({ length: 5 }, () => session.join())
    const reader = new Reader(session)
    const oneEach = (assigned) => covers(assigned) && assigned.every((partitions) => partitions.length <= 1)
    // Three of them have one each before the others join, too.
    await until(() => session.isStable(members.length), () => 'all five are members')
    await reader.settle(members, oneEach, 'three of five have one')
    await session.send()
    assert.deepEqual(await reader.read(members), assignments(members), 'who read')
  },

  /** Two groups. */
  async apart(session) {
    await session.send()
    for (const end of ['one', 'other']) {
      const group = `${session.topic}-${end}`
      const member = session.join(group)
      await new Reader(session).read([member])
      await member.commit()
      assert.deepEqual(await session.committed(group), session.ends(), `committed by ${group}`)
    }
  },

  /** As tools compute it: latest less committed, and all of it where nothing was committed. */
  async lag(session) {
    await session.send()
    const member = session.join()
    await new Reader(session).read([member])
    await member.commitAt({ 0: 5, 1: EACH })
    await session.send(7)
    const committed = await session.committed()
    assert.deepEqual(committed, { 0: 5, 1: EACH }, 'offsets of the group')
    const lag = {}
    for (const { partition, high } of await session.matrix.admin.fetchTopicOffsets(session.topic)) {
      lag[partition] = Number(high) - (committed[partition] ?? 0)
    }
    assert.deepEqual(lag, { 0: EACH - 5 + 7, 1: 7, 2: EACH + 7 }, 'lag')
  },

  restart: (session) => interrupted('restart', session),
  kill: (session) => interrupted('kill', session),

  /** Its process dies by SIGKILL; who comes after it does not wait for the end of its session. */
  async 'member-killed'(session) {
    await session.send()
    await ask('member')
    await session.send()
    await ask('kill-member')
    const start = performance.now()
    const member = session.join()
    await new Reader(session).read([member])
    assert.deepEqual(assignments([member]), [ALL], 'assignment')
    console.log(`after a member was killed: ${((performance.now() - start) / 1000).toFixed(1)} s`)
  },
}

/**
 * The broker goes and comes back under two members. A client may join anew because of that, and then gets again what it
 * did not commit.
 */
async function interrupted(how, session) {
  const members = [session.join(), session.join()]
  const reader = new Reader(session)
  await reader.settle(members, shared, 'both have some')
  await session.send()
  await reader.read(members)
  for (const member of members) await member.commit()
  const ends = session.ends()
  await session.send()
  await ask(how)
  assert.deepEqual(await session.committed(), ends, `committed before the ${how}`)
  await session.send()
  reader.repeats = ends
  await reader.read(members)
  await reader.settle(members, shared, 'both have some again')
  const ended = JSON.stringify(session.ends())
  await until(
    async () => {
      for (const member of members) {
        reader.nothingNew(member, 'records after the last')
        await member.commit().catch((refusal) => console.log(`a commit during a rebalance: ${refusal}`))
      }
      return JSON.stringify(await session.committed()) === ended
    },
    () => 'what was read cannot be committed'
  )
}

let answers

/**
 * `restart` or `kill`: the broker is down and up again when this resolves. `member`: another process, which runs
 * `killedMember`, has all partitions. `kill-member`: that one is dead.
 */
async function ask(what) {
  answers ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  console.log(what)
  assert.equal((await answers.next()).value, 'done', `answer to ${what}`)
}

async function groups(matrix) {
  await matrix.admin.connect()
  for (const [name, body] of Object.entries(CASES)) {
    await matrix.row(`case=group-${name} protocol=classic`, async () => {
      const session = new Session(matrix, `${matrix.name}-${name}`)
      await session.open()
      try {
        await body(session)
      } finally {
        await session.close()
      }
    })
  }
  await matrix.admin.disconnect()
}

/** The one that is killed: it has everything, and commits nothing. */
async function killedMember(matrix) {
  const name = `${matrix.name}-member-killed`
  const member = new Member(matrix.kafka, name, name, false)
  await until(() => covers([member.assigned]), () => `assigned: ${member.assigned}`)
  console.log('ready')
  await new Promise((resolve) => setTimeout(resolve, KILLED_WITHIN_MS))
}

/** From a consumer's making to its first record, in groups that never were. */
async function firstRecord(matrix) {
  await matrix.admin.connect()
  const session = new Session(matrix, `${matrix.name}-first`)
  await session.open()
  await session.send(1)
  await floor(matrix, session.topic)
  await session.close()
  await matrix.admin.disconnect()
}

/** The same with a topic that is there. */
async function floor(matrix, topic = MOCK_TOPIC) {
  const took = []
  for (let run = 0; run < matrix.records; run++) {
    const start = performance.now()
    const member = new Member(matrix.kafka, topic, `${matrix.name}-${run}`, false)
    await until(() => member.take().length > 0, () => 'a first record')
    took.push(performance.now() - start)
    await member.close()
  }
  took.sort((a, b) => a - b)
  const [ms, least] = [took[took.length >> 1], took[0]].map((time) => time.toFixed(1))
  console.log(`first-record version=${version} protocol=classic ms=${ms} least=${least} runs=${took.length}`)
}

module.exports = { modes: { groups, member: killedMember, first: firstRecord, floor } }
