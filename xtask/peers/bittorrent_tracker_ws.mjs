// npm's bittorrent-tracker over WebSocket, with a real WebRTC: one browser of two, that meet by a tracker alone. Arguments: the folder of
// modules, the tracker's address and port, the info-hash, `seed` or `leecher`, `ws` or `wss`. Prints lines of JSON: once it is announced; and when it has
// met the other and bytes went both ways, whom it met, how many came right, and, from the leecher, which counts it was told over
// WebSocket, over HTTP and UDP, or HTTPS beside wss, and whom it heard of there, where browsers are not. Says goodbye when its input ends.

import { createRequire, register } from 'node:module'
import { pathToFileURL } from 'node:url'

const [modules, at, infoHash, role, scheme] = process.argv.slice(2)

// What the client takes for its WebRTC is compiled when it is installed; this one comes compiled.
const wrtc = createRequire(`${modules}/`)('@roamhq/wrtc')
globalThis.webrtc = wrtc
const names = ['RTCPeerConnection', 'RTCSessionDescription', 'RTCIceCandidate']
const source = `export const { ${names.join(', ')} } = globalThis.webrtc`
const hook = `export const resolve = (name, context, next) => name === 'webrtc-polyfill'
  ? { url: ${JSON.stringify('data:text/javascript,' + encodeURIComponent(source))}, shortCircuit: true } : next(name, context)`
register(`data:text/javascript,${encodeURIComponent(hook)}`)
const { default: Client } = await import(pathToFileURL(`${modules}/bittorrent-tracker/index.js`))

const print = line => console.log(JSON.stringify(line))
const fail = why => { print({ error: String(why) }); process.exit(1) }
setTimeout(() => fail('nothing more is heard'), 60000).unref()

const peerId = who => Buffer.from(`-NT0001-${who.padEnd(12, '0')}`).toString('hex')
const start = (who, urls, left, port) => {
  const client = new Client({
    infoHash,
    peerId: peerId(who),
    announce: urls,
    port,
    // No other server is asked where we are.
    rtcConfig: { iceServers: [] },
    getAnnounceOpts: () => ({ uploaded: 0, downloaded: 0, left })
  })
  client.on('error', fail)
  client.on('warning', fail)
  client.start()
  return client
}
const once = (client, event) => new Promise(resolve => client.once(event, resolve))
const counts = ({ complete, incomplete }) => ({ complete, incomplete })
const scrape = async client => {
  const scraped = once(client, 'scrape')
  client.scrape()
  return counts(await scraped)
}

// What each of the two sends: bytes that nothing else on the way would make.
const CHUNK = 16384
const CHUNKS = 40
const said = who => Buffer.alloc(CHUNK * CHUNKS, `I am the ${who}, and this is as long as a block or two. `)
const other = role === 'seed' ? 'leecher' : 'seed'

const plain = scheme === 'wss' ? ['https'] : ['http', 'udp']
const client = start(role, [`${scheme}://${at}/announce`], role === 'seed' ? 0 : 1000, 6881)
const met = []
const whole = new Promise(resolve => client.on('peer', peer => {
  if (typeof peer === 'string') return fail(`a browser was told of ${peer}`)
  met.push(peer.id)
  const came = []
  peer.once('connect', () => {
    const bytes = said(role)
    for (let at = 0; at < bytes.length; at += CHUNK) peer.write(bytes.subarray(at, at + CHUNK))
  })
  peer.on('data', data => {
    came.push(Buffer.from(data))
    if (Buffer.concat(came).equals(said(other))) resolve(CHUNK * CHUNKS)
  })
  peer.on('error', () => {})
}))
await once(client, 'update')
print({ announced: true })
const line = { received: await whole, met_the_other: met.length === 1 && met[0] === peerId(other) }

if (role === 'leecher') {
  line.browsers = await scrape(client)
  for (const scheme of plain) {
    // Node's UDP sockets of this client are of IPv4.
    if (scheme === 'udp' && at.startsWith('[')) continue
    const heard = []
    const client = start(`plain-${scheme}`, [`${scheme}://${at}/announce`], 1000, scheme === 'udp' ? 6902 : 6901)
    client.on('peer', address => heard.push(Number(String(address).split(':').pop())))
    line[scheme] = { ...counts(await once(client, 'update')), heard }
  }
  line.browsers_still = await scrape(client)
}
print(line)

process.stdin.resume()
process.stdin.once('end', () => {
  client.stop()
  // The goodbye is on its way.
  setTimeout(() => process.exit(0), 500)
})
