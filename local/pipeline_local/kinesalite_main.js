'use strict'
// What LocalStack starts as its Kinesis backend on the laptop: kinesalite behind a thin front.
//
// LocalStack looks for `<its library folder>/kinesis-local/$KINESIS_MOCK_VERSION/node_modules/kinesis-local/main.js`
// and runs it with Node, one process per account. This file stands there. It adds what kinesalite lacks:
//
//   * records on disk (KINESALITE_PATH), so that a killed LocalStack loses none;
//   * the loopback address only, and no page in a browser: kinesalite would answer any Origin;
//   * streams may be named by StreamARN, as CloudFormation does;
//   * CreateStream for a stream that exists already succeeds: LocalStack forgets its stacks when it restarts and
//     creates the streams again, while the records are still here;
//   * GetRecords gives none only where there is none: expired records go before, where kinesalite counts them;
//   * streams that a kill left half created or half deleted are put right at the start;
//   * it ends when LocalStack does, however that ended, so that its successor gets the port and the folder.
//
// Environment
//   KINESALITE_PATH          folder of the LevelDB stores, one below it per account; unset: in memory
//   KINESIS_MOCK_PLAIN_PORT  port to listen on                                   (from LocalStack)
//   AWS_ACCOUNT_ID           account whose streams these are                     (from LocalStack)
//   CREATE_STREAM_DURATION   how long a stream stays in CREATING, such as `50ms` (from LocalStack; also DELETE_…)
//   SHARD_LIMIT              open shards at most                                 (from LocalStack)
//
// Safe against a kill, not against a power cut: LevelDB hands each write to the operating system before it
// answers, but does not wait for the disk.

const crypto = require('crypto')
const fs = require('fs')
const http = require('http')
const path = require('path')
const { Readable } = require('stream')

const db = require('kinesalite/db')

const HOST = '127.0.0.1'
const LOCK_DEADLINE_MS = 15000 // the predecessor may still be ending
const LOCK_RETRY_MS = 100
const PARENT_CHECK_MS = 250
const HOUR_MS = 3600 * 1000
const EARLY_MS = 2000 // what expires within this time goes, too: not between our look and kinesalite's
// The end of this file's path: what a starting script has on its command line too, whatever links lead here.
const SCRIPT = path.join(path.basename(__dirname), path.basename(__filename))
const AMZ_JSON = 'application/x-amz-json-1.1'

/**
 * The process that started this one: its parent, or, where `node` is a script that starts Node (as in the Python
 * wheel of Node), the parent of that. It changes when the starter dies, even by a kill that leaves us running.
 */
function starterOf (parent) {
  try {
    if (!fs.readFileSync(`/proc/${parent}/cmdline`, 'utf8').includes(SCRIPT)) return parent
    return parseInt(/^PPid:\s*(\d+)/m.exec(fs.readFileSync(`/proc/${parent}/status`, 'utf8'))[1], 10)
  } catch (error) {
    return parent // no /proc here, or the parent has just gone
  }
}

function fail (message) {
  console.error(`kinesalite: ${message}`)
  process.exit(1)
}

function milliseconds (name) {
  return parseInt(process.env[name] || '50', 10)
}

/** Opens and closes the store once, waiting for a predecessor's lock. Resolves when it is free. */
async function waitForStore (folder) {
  const leveldown = require('leveldown')
  const end = Date.now() + LOCK_DEADLINE_MS
  for (;;) {
    const store = leveldown(folder)
    const error = await new Promise(resolve => store.open({}, resolve))
    if (!error) return new Promise(resolve => store.close(resolve))
    if (!/lock/i.test(error.message) || Date.now() > end) fail(`${folder} cannot be opened: ${error.message}`)
    await new Promise(resolve => setTimeout(resolve, LOCK_RETRY_MS))
  }
}

/**
 * Puts right what a kill interrupted. A stream in CREATING has no shard yet and so no record: it is dropped, to
 * be created again. One in DELETING is dropped with its records, as was asked for.
 */
async function finishInterrupted (store) {
  const unfinished = []
  await new Promise((resolve, reject) => store.metaDb.createReadStream()
    .on('data', ({ key, value }) => { if (/^(CREATING|DELETING)$/.test(value.StreamStatus)) unfinished.push(key) })
    .on('error', reject)
    .on('end', resolve))
  for (const name of unfinished) {
    await new Promise((resolve, reject) => store.deleteStreamDb(name, error => error ? reject(error) : resolve()))
    await store.metaDb.del(name)
  }
}

function openShards (stream) {
  return stream.Shards.filter(shard => shard.SequenceNumberRange.EndingSequenceNumber == null).length
}

/** Whether this CreateStream asks for what is there already: `done(true)`, or `done(false)` to let it through. */
function existsAlready (store, asked, done) {
  store.metaDb.get(asked.StreamName, (error, stream) => {
    if (error || stream.StreamStatus === 'DELETING') return done(false)
    // While it is being created it has no shards to compare; the same caller asks again.
    done(stream.StreamStatus === 'CREATING' || openShards(stream) === asked.ShardCount)
  })
}

/** The stream and the number of the shard of an iterator; null for what is none, which kinesalite answers. */
function placeOf (iterator) {
  try {
    const decipher = crypto.createDecipheriv('aes-256-cbc', db.ITERATOR_PWD_KEY, db.ITERATOR_PWD_IV)
    const sealed = Buffer.from(iterator, 'base64').slice(8)
    const [, name, shardId] = (decipher.update(sealed, undefined, 'utf8') + decipher.final('utf8')).split('/')
    return { name, shard: db.resolveShardId(shardId).shardIx }
  } catch (error) {
    return null
  }
}

/** Deletes the records of a shard that are past the stream's retention: its first ones. */
async function dropExpired (store, { name, shard }) {
  const stream = await store.metaDb.get(name).catch(() => null) // none: kinesalite says so
  if (stream === null) return
  const kept = Date.now() + EARLY_MS - stream.RetentionPeriodHours * HOUR_MS
  const records = store.getStreamDb(name)
  const expired = []
  for await (const key of records.createKeyStream({ gte: db.shardIxToHex(shard), lt: db.shardIxToHex(shard + 1) })) {
    if (db.parseSequence(key.split('/')[1]).seqTime >= kept) break
    expired.push({ type: 'del', key })
  }
  if (expired.length) await records.batch(expired)
}

/** GetRecords as it ought to be: kinesalite takes `Limit` records, and leaves out those that have expired then. */
function withoutExpired (getRecords) {
  return (store, asked, done) => {
    const place = placeOf(asked.ShardIterator)
    if (place === null) return getRecords(store, asked, done)
    dropExpired(store, place).then(() => getRecords(store, asked, done), done)
  }
}

/** The request with another body, in the form in which kinesalite listens to it. */
function withBody (request, body) {
  const replayed = Readable.from(body.length ? [body] : [])
  const headers = Object.assign({}, request.headers, { 'content-length': String(body.length) })
  return Object.assign(replayed, {
    method: request.method, url: request.url, headers, socket: request.socket, connection: request.socket
  })
}

function parsed (body) {
  try {
    return JSON.parse(body.toString())
  } catch (error) {
    return null // kinesalite has the right answer for a body that is not JSON
  }
}

/** Whether a page in a browser sent it. Programs send neither header; a page's own POST always has an Origin. */
function isOfPage ({ headers }) {
  return headers.origin !== undefined || !['none', undefined].includes(headers['sec-fetch-site'])
}

function front (store, inner) {
  return (request, response) => {
    if (isOfPage(request)) {
      response.writeHead(403, { 'Content-Type': AMZ_JSON })
      return response.end('{"message":"pages may not use this port"}')
    }
    const parts = []
    request.on('data', part => parts.push(part))
    request.on('end', () => {
      let body = Buffer.concat(parts)
      const passOn = () => inner.emit('request', withBody(request, body), response)
      const create = /\.CreateStream$/.test(request.headers['x-amz-target'] || '')
      const isJson = (request.headers['content-type'] || '').startsWith(AMZ_JSON)
      // Only what must be changed is parsed: a batch of records passes as it came.
      if (!isJson || !(create || body.includes('"StreamARN"'))) return passOn()
      const asked = parsed(body)
      if (asked === null || typeof asked !== 'object') return passOn()
      if (typeof asked.StreamARN === 'string') {
        asked.StreamName = asked.StreamName || asked.StreamARN.split('/')[1]
        delete asked.StreamARN
        body = Buffer.from(JSON.stringify(asked))
      }
      if (!create || typeof asked.StreamName !== 'string') return passOn()
      existsAlready(store, asked, exists => {
        if (!exists) return passOn()
        response.writeHead(200, { 'Content-Type': AMZ_JSON, 'Content-Length': '0' })
        response.end()
      })
    })
  }
}

async function main () {
  const options = {
    createStreamMs: milliseconds('CREATE_STREAM_DURATION'),
    deleteStreamMs: milliseconds('DELETE_STREAM_DURATION'),
    updateStreamMs: milliseconds('UPDATE_SHARD_COUNT_DURATION'),
    shardLimit: parseInt(process.env.SHARD_LIMIT || '100', 10)
  }
  if (process.env.KINESALITE_PATH) {
    options.path = path.join(process.env.KINESALITE_PATH, process.env.AWS_ACCOUNT_ID || 'default')
    fs.mkdirSync(options.path, { recursive: true })
    await waitForStore(options.path)
  }
  // kinesalite keeps its store to itself. It makes it by db.create(), so we make it first and hand it over.
  const store = db.create(options)
  await finishInterrupted(store)
  db.create = () => store
  // It loads its actions by their names, so ours is there first.
  const action = require.resolve('kinesalite/actions/getRecords')
  const getRecords = require(action)
  require.cache[action].exports = withoutExpired(getRecords)
  const inner = require('kinesalite')(options)

  const server = http.createServer(front(store, inner))
  server.on('error', error => fail(`cannot listen: ${error.message}`))
  server.listen(parseInt(process.env.KINESIS_MOCK_PLAIN_PORT, 10), HOST)

  const stop = () => {
    server.close()
    store.db.close(() => process.exit(0))
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  const starter = starterOf(process.ppid)
  setInterval(() => { if (starterOf(process.ppid) !== starter) stop() }, PARENT_CHECK_MS).unref()
}

main().catch(error => fail(error.stack || error))
