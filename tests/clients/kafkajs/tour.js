'use strict'

// Once through groups, transactions and administration, for captures: node main.js HOST:PORT SEED RECORDS tour.

const { Kafka, Partitioners, logLevel } = require('kafkajs')
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes } = require('kafkajs')
const { ConfigResourceTypes, ResourcePatternTypes } = require('kafkajs')

/** A call that may be refused: that is worth a capture, too. */
async function stop(what, call) {
  try {
    await call()
  } catch (refusal) {
    console.log(`tour: ${what}: ${refusal}`)
  }
}

async function tour(bootstrap, name) {
  const kafka = new Kafka({ brokers: [bootstrap], clientId: name, logLevel: logLevel.NOTHING })
  const [topic, group] = [`${name}-tour`, `${name}-group`]
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: 2, replicationFactor: 1 }] })
  await stop('transactions and group', () => talk(kafka, admin, topic, group))
  const partitions = [{ partition: 0, offset: '1' }]
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
  const acl = {
    resourceType: AclResourceTypes.TOPIC,
    resourceName: topic,
    resourcePatternType: ResourcePatternTypes.LITERAL,
    principal: 'User:a',
    host: '*',
    operation: AclOperationTypes.READ,
    permissionType: AclPermissionTypes.ALLOW,
  }
  await stop('list groups', () => admin.listGroups())
  await stop('fetch offsets', () => admin.fetchOffsets({ groupId: group, topics: [topic] }))
  await stop('set offsets', () => admin.setOffsets({ groupId: group, topic, partitions }))
  await stop('delete groups', () => admin.deleteGroups([group]))
  await stop('create partitions', () => admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] }))
  await stop('delete records', () => admin.deleteTopicRecords({ topic, partitions }))
  await stop('describe configs', () => admin.describeConfigs({ resources: [resource] }))
  const configEntries = [{ name: 'retention.ms', value: '1000' }]
  await stop('alter configs', () => admin.alterConfigs({ resources: [{ ...resource, configEntries }] }))
  await stop('create acls', () => admin.createAcls({ acl: [acl] }))
  await stop('describe acls', () => admin.describeAcls(acl))
  await stop('delete acls', () => admin.deleteAcls({ filters: [acl] }))
  await stop('describe cluster', () => admin.describeCluster())
  await stop('reassignments', () => admin.listPartitionReassignments({}))
  await admin.disconnect()
}

/** A producer with transactions, and a member of a group that reads what it sent. */
async function talk(kafka, admin, topic, groupId) {
  const producer = kafka.producer({
    transactionalId: `${groupId}-id`,
    maxInFlightRequests: 1,
    idempotent: true,
    createPartitioner: Partitioners.DefaultPartitioner,
  })
  await producer.connect()
  const consumer = kafka.consumer({ groupId, heartbeatInterval: 100, readUncommitted: false })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const read = new Promise((resolve) => {
    consumer.run({ autoCommit: false, eachMessage: async ({ message }) => resolve(message) })
  })
  for (const end of ['commit', 'abort']) {
    const transaction = await producer.transaction()
    const messages = [0, 1].map((partition) => ({ partition, value: 'value' }))
    await transaction.send({ topic, messages })
    await transaction[end]()
  }
  await Promise.race([read, new Promise((resolve) => setTimeout(resolve, 20_000))])
  const offsets = [{ topic, partition: 0, offset: '1', metadata: 'noted' }]
  await consumer.commitOffsets(offsets)
  const transaction = await producer.transaction()
  await transaction.send({ topic, messages: [{ partition: 0, value: 'value' }] })
  await transaction.sendOffsets({
    consumerGroupId: groupId,
    topics: [{ topic, partitions: [{ partition: 0, offset: '1' }] }],
  })
  await transaction.commit()
  await admin.describeGroups([groupId])
  await consumer.disconnect()
  await producer.disconnect()
}

module.exports = { tour }
