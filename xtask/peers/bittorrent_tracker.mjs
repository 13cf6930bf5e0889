// npm's bittorrent-tracker for the interop tests: a seed and a leecher of one torrent announce to a tracker, until each has heard of the
// other; then it is scraped, and both say goodbye. Arguments: the folder of modules, the announce URL, the info-hash. Prints one line of
// JSON: the ports that each heard of, the last counts of the announces, the scrape.

import { register } from 'node:module'
import { pathToFileURL } from 'node:url'

// Its WebRTC is native code that is built when it is installed; trackers are met without it.
const stub = 'export const RTCPeerConnection = class {}, RTCSessionDescription = class {}, RTCIceCandidate = class {}'
const hook = `export const resolve = (name, context, next) => name === 'webrtc-polyfill'
  ? { url: ${JSON.stringify('data:text/javascript,' + encodeURIComponent(stub))}, shortCircuit: true } : next(name, context)`
register(`data:text/javascript,${encodeURIComponent(hook)}`)

const [modules, url, infoHash] = process.argv.slice(2)
const { default: Client } = await import(pathToFileURL(`${modules}/bittorrent-tracker/index.js`))

const PORTS = { seed: 6881, leecher: 6882 }
const heard = { seed: new Set(), leecher: new Set() }
let counts = null
const fail = why => { console.log(JSON.stringify({ error: String(why) })); process.exit(1) }
setTimeout(() => fail('nothing more is heard'), 20000)

const start = (name, left) => {
  const client = new Client({
    infoHash,
    peerId: Buffer.from(`-NT0001-${name.padEnd(12, '0')}`).toString('hex'),
    announce: [url],
    port: PORTS[name],
    getAnnounceOpts: () => ({ uploaded: 0, downloaded: 0, left })
  })
  client.on('error', fail)
  client.on('warning', fail)
  client.on('peer', address => {
    heard[name].add(Number(String(address).split(':').pop()))
    proceed()
  })
  client.on('update', ({ complete, incomplete }) => { counts = { complete, incomplete }; proceed() })
  return client
}

let scraped = false
const proceed = () => {
  const both = heard.seed.has(PORTS.leecher) && heard.leecher.has(PORTS.seed)
  if (!both || scraped || !counts) return
  scraped = true
  leecher.once('scrape', ({ complete, incomplete, downloaded }) => {
    const ports = name => [...heard[name]].sort()
    const line = { seed: ports('seed'), leecher: ports('leecher'), counts, scrape: { complete, incomplete, downloaded } }
    seed.stop()
    leecher.stop()
    // The goodbyes are on their way.
    setTimeout(() => { console.log(JSON.stringify(line)); process.exit(0) }, 500)
  })
  leecher.scrape()
}

const seed = start('seed', 0)
const leecher = start('leecher', 1000)
seed.start()
// The seed is known by then; its own next visit tells it of the leecher.
seed.once('update', () => {
  leecher.start()
  leecher.once('update', () => seed.update())
})
