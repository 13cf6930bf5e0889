// npm's bittorrent-dht for the interop tests: reads one JSON command a line, answers with one line each. The commands are those of
// libtorrent_dht.py. Arguments: the folder of modules, address and port
// to listen at, address:port to begin at. It ends when its standard input does.

import crypto from 'node:crypto'
import readline from 'node:readline'
import { pathToFileURL } from 'node:url'

const [modules, address, port, router] = process.argv.slice(2)
const { Client } = await import(pathToFileURL(`${modules}/bittorrent-dht/index.js`))

// Ed25519 by Node itself: a raw public key is what follows this prefix of its DER form.
const PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const publicKey = raw => crypto.createPublicKey({ key: Buffer.concat([PREFIX, Buffer.from(raw)]), format: 'der', type: 'spki' })
const verify = (signature, message, key) => crypto.verify(null, message, publicKey(key), signature)

const pair = crypto.generateKeyPairSync('ed25519')
const ours = pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(PREFIX.length)
const sign = message => crypto.sign(null, message, pair.privateKey)

const dht = new Client({ bootstrap: router ? [router] : false, verify })
const say = answer => console.log(JSON.stringify(answer))
const text = item => item ? Buffer.from(item.v).toString() : null

const conduct = {
  announce: ({ hash, port }, done) => dht.announce(hash, port, error => done(error ? { error: String(error) } : {})),
  peers: ({ hash }, done) => {
    const peers = new Set()
    const hear = (peer, about) => about.toString('hex') === hash && peers.add(`${peer.host}:${peer.port}`)
    dht.on('peer', hear)
    dht.lookup(hash, () => { dht.off('peer', hear); done({ peers: [...peers].sort() }) })
  },
  put: ({ text }, done) =>
    dht.put({ v: text }, (error, target, stored) =>
      done(error ? { error: String(error) } : { target: target.toString('hex'), stored })),
  put_key: ({ text, salt }, done) => {
    const item = { k: ours, seq: 0, v: Buffer.from(text), sign }
    if (salt) item.salt = Buffer.from(salt)
    dht.put(item, (error, target, stored) =>
      done(error ? { error: String(error) } : { key: ours.toString('hex'), stored }))
  },
  get: ({ target }, done) => dht.get(target, (error, item) => done(error ? { error: String(error) } : { text: text(item) })),
  get_key: ({ key, salt }, done) => {
    const target = crypto.createHash('sha1').update(Buffer.from(key, 'hex')).update(salt).digest()
    const asked = salt ? { salt: Buffer.from(salt) } : {}
    dht.get(target, asked, (error, item) => done(error ? { error: String(error) } : { text: text(item) }))
  }
}

dht.listen(Number(port), address, () => dht.once('ready', () => say({ ready: true })))
const lines = readline.createInterface({ input: process.stdin })
lines.on('line', line => { const command = JSON.parse(line); conduct[command.do](command, say) })
lines.on('close', () => process.exit(0))
