'use strict'

// Reads without a group. KafkaJS offers no such thing, so this stands on the cluster and the fetch that its consumer is
// made of: what comes was decoded and decompressed by KafkaJS itself. Both lie below `kafkajs/src`, and the version is
// pinned.

const Cluster = require('kafkajs/src/cluster')
const defaultSocketFactory = require('kafkajs/src/network/socketFactory')
const { createLogger } = require('kafkajs/src/loggers')
const LoggerConsole = require('kafkajs/src/loggers/console')
const ISOLATION_LEVEL = require('kafkajs/src/protocol/isolationLevel')

const FETCH_BYTES_MAX = 10 * 1024 * 1024

class Reader {
  constructor(bootstrap, logLevel, retry) {
    this.cluster = new Cluster({
      logger: createLogger({ level: logLevel, logCreator: LoggerConsole }),
      socketFactory: defaultSocketFactory(),
      brokers: [bootstrap],
      clientId: 'ottla-reader',
      connectionTimeout: 5_000,
      enforceRequestTimeout: true,
      metadataMaxAge: 300_000,
      allowAutoTopicCreation: false,
      isolationLevel: ISOLATION_LEVEL.READ_COMMITTED,
      retry,
    })
  }

  async connect() {
    await this.cluster.connect()
  }

  async close() {
    await this.cluster.disconnect()
  }

  /** The next records of a partition, from this offset on; none if none came within a second. */
  async read(topic, partition, offset) {
    await this.cluster.addTargetTopic(topic)
    await this.cluster.refreshMetadataIfNecessary()
    const leader = this.cluster.findTopicPartitionMetadata(topic).find((found) => found.partitionId === partition).leader
    const broker = await this.cluster.findBroker({ nodeId: leader })
    const { responses } = await broker.fetch({
      isolationLevel: ISOLATION_LEVEL.READ_COMMITTED,
      maxWaitTime: 1_000,
      minBytes: 1,
      maxBytes: FETCH_BYTES_MAX,
      topics: [{ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: FETCH_BYTES_MAX }] }],
    })
    const [{ partitions }] = responses
    // Whole batches come: what lies before the offset in the first one is passed over, as its consumer does.
    return partitions[0].messages.filter((message) => Number(message.offset) >= offset)
  }
}

module.exports = { Reader }
