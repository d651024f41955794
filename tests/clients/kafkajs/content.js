'use strict'

// Records whose every byte follows from a seed. They hold what implementers get wrong: null and empty keys and values,
// the same header key several times, headers with an empty value or an empty name, names beyond ASCII, values of 20 KB,
// timestamps that go back.
//
// Left out, because KafkaJS cannot say it: a header with a null value (it throws), and another header between two of
// the same key (its headers are an object).

const { createCipheriv, createHash } = require('node:crypto')

const FIRST_TIMESTAMP_MS = 1_700_000_000_000
const TIMESTAMP_STEP_MS = 10
const TIMESTAMP_BACK_MS = 5_000
const WIDE_VALUE_BYTES = 20_000
const LARGE_VALUE_BYTES = 900_000
const LARGE_RECORDS = 20
const WORDS = ['partition', 'segment', 'batch', 'record', 'offset', 'epoch', 'leader']

/** The key stream of a cipher. */
class Random {
  constructor(seed) {
    const key = createHash('sha256').update(seed).digest()
    this.cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
  }

  bytes(count) {
    return this.cipher.update(Buffer.alloc(count))
  }

  below(bound) {
    return this.bytes(4).readUInt32LE() % bound
  }

  words(bytes) {
    let text = ''
    while (text.length < bytes) text += WORDS[this.below(WORDS.length)] + ' '
    return Buffer.from(text)
  }
}

function records(seed, count) {
  const random = new Random(seed)
  return Array.from({ length: count }, (_, i) => ({
    key: key(i, random),
    value: value(i, random),
    headers: headers(i, random),
    timestamp: String(
      FIRST_TIMESTAMP_MS + i * TIMESTAMP_STEP_MS - (i % 7 === 3 && i !== count - 1 ? TIMESTAMP_BACK_MS : 0)
    ),
  }))
}

/** Records that fill almost all that a broker takes by default, and that do not compress. */
function large(seed) {
  const random = new Random(seed + ' large')
  return Array.from({ length: LARGE_RECORDS }, (_, i) => ({
    key: Buffer.from(`large-${i}`),
    value: random.bytes(LARGE_VALUE_BYTES),
    headers: {},
    timestamp: String(FIRST_TIMESTAMP_MS + i),
  }))
}

function key(i, random) {
  if (i % 16 === 5) return null
  if (i % 16 === 11) return Buffer.alloc(0)
  return Buffer.from(`key-${random.below(1000)}`)
}

function value(i, random) {
  if (i % 10 === 3) return null
  if (i % 10 === 7) return Buffer.alloc(0)
  if (i % 2500 === 4) return random.words(WIDE_VALUE_BYTES)
  if (i % 10 === 9) return random.bytes(random.below(300))
  return random.words(random.below(300))
}

function headers(i, random) {
  const text = (word) => Buffer.from(word)
  switch (i % 4) {
    case 1:
      return { trace: random.words(20) }
    case 2:
      return { twice: [text('first'), text('second'), text('first')], after: Buffer.from([0, 0xff]) }
    case 3:
      return { empty: Buffer.alloc(0), '': text('no name'), žluťoučký: text('kůň') }
    default:
      return {}
  }
}

module.exports = { records, large }
