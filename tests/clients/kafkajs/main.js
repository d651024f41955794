'use strict'

// KafkaJS against one broker: node main.js HOST:PORT SEED RECORDS prompt|settling|groups-classic|…|tour.
//
// tests/clients/README.md says what it must do and what it prints. KafkaJS consumes only in groups, so a round trip is
// `case=produce`, and nothing seeks; what was produced is read back all the same and compared, by reader.js.

const assert = require('node:assert/strict')
const { CompressionTypes, CompressionCodecs, Kafka, Partitioners, logLevel } = require('kafkajs')
const { version } = require('kafkajs/package.json')
const SnappyCodec = require('kafkajs-snappy')
const Lz4Codec = require('@2l/kafkajs-lz4')
const zstd = require('@bokuweb/zstd-wasm')
const content = require('./content')
const { modes } = require('./groups')
const { Reader } = require('./reader')
const { tour } = require('./tour')

const PARTITIONS = 3
const RECREATED_RECORDS = 100
const WAIT_MAX_MS = 30_000
/** For producers always: KafkaJS makes no idempotent one without. */
const RETRY = { initialRetryTime: 50, retries: 8 }
/** Every message that is sent at once and goes to one partition becomes one batch. */
const SEND_RECORDS_MAX = 1_000

const TYPES = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}
const ACKS = { 0: 0, 1: 1, all: -1 }
const COMBOS = [
  { codec: 'none', acks: '0', idempotent: false },
  { codec: 'gzip', acks: '1', idempotent: false },
  { codec: 'snappy', acks: 'all', idempotent: false },
  { codec: 'lz4', acks: '0', idempotent: false },
  { codec: 'none', acks: 'all', idempotent: true },
  { codec: 'zstd', acks: 'all', idempotent: true },
]
const PLAIN = { codec: 'none', acks: 'all', idempotent: true }

CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec
CompressionCodecs[CompressionTypes.LZ4] = new Lz4Codec().codec
// @kafkajs/zstd needs a compiler at its installation; this is the same in WebAssembly.
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
})

class Matrix {
  constructor([bootstrap, seed, records, pace]) {
    this.seed = seed
    this.records = Number(records)
    this.prompt = pace === 'prompt'
    this.name = process.env.OTTLA_CLIENT ?? 'kafkajs'
    this.failed = false
    const retry = this.prompt ? { retries: 0 } : RETRY
    this.kafka = new Kafka({
      brokers: [bootstrap],
      clientId: 'ottla-test',
      connectionTimeout: 5_000,
      retry,
      logLevel: logLevel.NOTHING,
    })
    this.admin = this.kafka.admin()
    this.reader = new Reader(bootstrap, logLevel.NOTHING, retry)
  }

  async run() {
    await zstd.init()
    await this.admin.connect()
    await this.reader.connect()
    const empty = { topic: `${this.name}-admin`, partitions: [[], [], []] }
    let filled = empty

    await this.row('case=create-topic', () => this.checkCreate(empty.topic))
    for (const combo of COMBOS) {
      const { codec, acks, idempotent } = combo
      const topic = `${this.name}-${codec}-${idempotent ? 'idempotent' : `acks-${acks}`}`
      await this.row(`case=produce codec=${codec} acks=${acks} idempotent=${onOff(idempotent)}`, async () => {
        filled = await this.roundTrip(topic, combo, content.records(this.seed, this.records), SEND_RECORDS_MAX)
        return this.stored(filled, combo)
      })
    }
    await this.row('case=large-records codec=none', async () => {
      return this.stored(await this.roundTrip(`${this.name}-large`, PLAIN, content.large(this.seed), 1), PLAIN)
    })
    await this.row('case=list-offsets', async () => {
      await this.checkOffsets(empty)
      await this.checkOffsets(filled)
      await this.checkTimes(filled)
    })
    await this.row('case=recreate-topic', async () => {
      return this.stored(await this.recreate(`${this.name}-recreated`), PLAIN)
    })
    await this.reader.close()
    await this.admin.disconnect()
  }

  /** Runs a case, which answers with the rest of its row, if it has more. */
  async row(fields, body) {
    const start = `row version=${version} ${fields}`
    try {
      const more = await limited(body)
      console.log([start, more, 'result=ok'].filter(Boolean).join(' '))
    } catch (error) {
      this.failed = true
      console.log(`${start} result=failed`)
      console.error(`failed: ${fields}: ${error.stack}`)
    }
  }

  stored({ topic, partitions }, { codec, idempotent }) {
    partitions.forEach((records, partition) => {
      if (records.length === 0) return
      console.log(
        `stored topic=${topic} partition=${partition} records=${records.length} codec=${codec} idempotent=${onOff(idempotent)}`
      )
    })
    return `records=${partitions.flat().length}`
  }

  async checkCreate(topic) {
    await this.create(topic)
    const again = await this.admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1 }] })
    assert.equal(again, false, 'the same topic could be created twice')
  }

  async create(topic) {
    const configEntries = [{ name: 'retention.ms', value: '-1' }]
    const created = await this.admin.createTopics({
      topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1, configEntries }],
    })
    assert.equal(created, true, `there is a ${topic} already`)
    await this.settled(async () => {
      const { topics } = await this.admin.fetchTopicMetadata({ topics: [topic] })
      const led = topics[0].partitions.filter(({ leader }) => leader >= 0).map(({ partitionId }) => partitionId)
      assert.deepEqual(led.sort(), [0, 1, 2], `partitions of ${topic} with a leader`)
      await this.admin.fetchTopicOffsets(topic)
    })
  }

  async delete(topic) {
    await this.admin.deleteTopics({ topics: [topic] })
    await this.settled(async () => {
      assert.ok(!(await this.admin.listTopics()).includes(topic), `the deleted ${topic} is listed`)
    })
  }

  /** Runs the step once against a broker that is prompt, else until it passes. */
  async settled(step) {
    const deadline = Date.now() + WAIT_MAX_MS
    for (;;) {
      try {
        return await step()
      } catch (error) {
        if (this.prompt || Date.now() > deadline) throw error
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }

  /** A producer, and where its partitioner put each message. */
  producer({ idempotent }) {
    const chosen = new Map()
    const createPartitioner = () => {
      const choose = Partitioners.DefaultPartitioner()
      return (asked) => {
        const partition = choose(asked)
        chosen.set(asked.message, partition)
        return partition
      }
    }
    const settings = { idempotent, createPartitioner, allowAutoTopicCreation: false, retry: RETRY }
    return { chosen, client: this.kafka.producer(settings) }
  }

  /** Makes the topic, produces, and reads all of it back. */
  async roundTrip(topic, combo, records, sendRecordsMax) {
    await this.create(topic)
    const producer = this.producer(combo)
    await producer.client.connect()
    const made = await this.produce(producer, topic, combo, records, sendRecordsMax)
    await producer.client.disconnect()
    await this.compare(made)
    await this.checkOffsets(made) // Nothing lies behind the last record.
    return made
  }

  /** Answers what must now lie in the topic. Acknowledged batches must have been given the offsets of a new topic. */
  async produce({ client, chosen }, topic, { codec, acks }, records, sendRecordsMax) {
    const partitions = [[], [], []]
    for (let first = 0; first < records.length; first += sendRecordsMax) {
      const messages = records.slice(first, first + sendRecordsMax)
      const answered = await client.send({ topic, messages, acks: ACKS[acks], compression: TYPES[codec] })
      const bases = partitions.map((sent) => String(sent.length))
      for (const message of messages) partitions[chosen.get(message)].push(message)
      const written = new Set(messages.map((message) => chosen.get(message)))
      assert.equal(answered.length, acks === '0' ? 0 : written.size, 'answered partitions')
      for (const { partition, errorCode, baseOffset } of answered) {
        assert.equal(errorCode, 0, `error of ${topic}-${partition}`)
        assert.equal(baseOffset, bases[partition], `offset given in ${topic}-${partition}`)
      }
    }
    return { topic, partitions }
  }

  /** Reads every partition from its beginning and compares each record byte for byte. */
  async compare({ topic, partitions }) {
    for (const [partition, sent] of partitions.entries()) {
      let next = 0
      let progress = Date.now()
      while (next < sent.length) {
        for (const found of await this.reader.read(topic, partition, next)) {
          assert.ok(next < sent.length, `${topic}-${partition} has more records than were sent`)
          same(`${topic}-${partition}`, next, sent[next], found)
          next++
          progress = Date.now()
        }
        assert.ok(Date.now() - progress < WAIT_MAX_MS, `${topic}-${partition}: only ${next} records came`)
      }
    }
  }

  async checkOffsets({ topic, partitions }) {
    const found = await this.admin.fetchTopicOffsets(topic)
    found.sort((a, b) => a.partition - b.partition)
    const expected = partitions.map((sent, partition) => {
      return { partition, offset: String(sent.length), high: String(sent.length), low: '0' }
    })
    assert.deepEqual(found, expected, `offsets of ${topic}`)
  }

  /** Times before all, exactly at a record, just after it, at the latest, and after all: KafkaJS then says the end. */
  async checkTimes({ topic, partitions }) {
    const middle = Number(partitions[0][partitions[0].length >> 1].timestamp)
    const latest = Math.max(...partitions.flat().map(({ timestamp }) => Number(timestamp)))
    for (const time of [0, middle, middle + 1, latest, latest + 1]) {
      const found = await this.admin.fetchTopicOffsetsByTimestamp(topic, time)
      found.sort((a, b) => a.partition - b.partition)
      const expected = partitions.map((sent, partition) => {
        const index = sent.findIndex(({ timestamp }) => Number(timestamp) >= time)
        return { partition, offset: String(index < 0 ? sent.length : index) }
      })
      assert.deepEqual(found, expected, `offsets of ${topic} by time ${time}`)
    }
  }

  /** Deletes a topic under an open producer and an open reader, which go on with its successor. */
  async recreate(topic) {
    const producer = this.producer(PLAIN)
    await producer.client.connect()
    let made
    for (const records of [
      content.records(this.seed, Math.floor(this.records / 10)),
      content.records(this.seed + ' again', RECREATED_RECORDS),
    ]) {
      if (made) await this.delete(topic)
      await this.create(topic)
      made = await this.produce(producer, topic, PLAIN, records, SEND_RECORDS_MAX)
      await this.compare(made)
      await this.checkOffsets(made)
    }
    await producer.client.disconnect()
    return made
  }
}

/** Null is not empty, and a header that occurs once comes as one value. */
function same(where, offset, sent, found) {
  assert.equal(found.offset, String(offset), `${where}: offset`)
  assert.equal(found.timestamp, sent.timestamp, `${where} offset ${offset}: timestamp`)
  assert.deepEqual(found.key, sent.key, `${where} offset ${offset}: key`)
  assert.ok(sameBytes(found.value, sent.value), `${where} offset ${offset}: value differs`)
  assert.deepEqual(Object.entries(found.headers), Object.entries(sent.headers), `${where} offset ${offset}: headers`)
}

function sameBytes(a, b) {
  return a === null || b === null ? a === b : a.equals(b)
}

/** No case may hang: one that is not done then never will be. */
async function limited(body) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('the case did not end')), 2 * WAIT_MAX_MS)
  })
  try {
    return await Promise.race([body(), late])
  } finally {
    clearTimeout(timer)
  }
}

function onOff(on) {
  return on ? 'on' : 'off'
}

async function main() {
  const words = process.argv.slice(2)
  if (words.length !== 4) {
    console.error('usage: main.js HOST:PORT SEED RECORDS prompt|settling|groups-classic|…|tour')
    process.exit(2)
  }
  if (words[3] === 'tour') {
    await tour(words[0], process.env.OTTLA_CLIENT)
    process.exit(0)
  }
  const matrix = new Matrix(words)
  // KafkaJS has the classic protocol only.
  const [, kind] = words[3].match(/^(.*)-classic$/) ?? []
  await (kind ? modes[kind](matrix) : matrix.run())
  process.exit(matrix.failed ? 1 : 0)
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
