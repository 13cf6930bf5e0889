"""libtorrent as a peer for the interop tests: seeds or fetches one torrent, of which it has the file or a magnet link.

It prints a JSON status line four times a second.

It ends when its standard input does, after its last blocks are on disk (libtorrent says "seeding" before that).
"""

import argparse
import json
import select
import signal
import sys
import time

import libtorrent as lt


# Metadata may be larger than what libtorrent takes for a torrent file; its own limit for metadata is 30 MiB.
TORRENT_LIMITS = {"max_buffer_size": 32 << 20, "max_decode_tokens": 3000000, "max_pieces": 2000000}


def parse():
    parser = argparse.ArgumentParser()
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--torrent")
    what.add_argument("--magnet")
    parser.add_argument("--dir", required=True)
    parser.add_argument("--listen", required=True, help="address:port")
    parser.add_argument("--peer", action="append", default=[], help="address:port")
    parser.add_argument("--set", action="append", default=[], help="setting=number")
    parser.add_argument("--dht", help="address:port of a node of the DHT to begin at")
    parser.add_argument("--no-pex", action="store_true", help="neither name peers nor hear of any")
    parser.add_argument("--tuned", action="store_true", help="settings for loopback speed")
    return parser.parse_args()


def settings(args):
    chosen = {
        "listen_interfaces": args.listen,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        "allow_multiple_connections_per_ip": True,
        "alert_mask": lt.alert.category_t.storage_notification,
        "min_reconnect_time": 1,
        "ssrf_mitigation": False,
    }
    if args.tuned:
        # A loopback transfer measures the byte path, not the politeness of the defaults.
        chosen.update({
            "out_enc_policy": int(lt.enc_policy.disabled),
            "in_enc_policy": int(lt.enc_policy.disabled),
            "max_out_request_queue": 1500,
            "max_allowed_in_request_queue": 4000,
            "send_buffer_watermark": 3 * 1024 * 1024,
            "send_buffer_low_watermark": 1024 * 1024,
            "send_buffer_watermark_factor": 150,
            "send_not_sent_low_watermark": 512 * 1024,
            "max_peer_recv_buffer_size": 5 * 1024 * 1024,
            "max_queued_disk_bytes": 64 * 1024 * 1024,
            "hashing_threads": 2,
        })
    if args.dht:
        chosen.update({
            "enable_dht": True,
            "dht_bootstrap_nodes": args.dht,
            # All hosts of the lab have neighbouring addresses.
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
        })
    for setting in args.set:
        name, number = setting.split("=", 1)
        chosen[name] = bool(int(number)) if name in ("prefer_rc4", "enable_lsd") else int(number)
    return chosen


def main():
    # The test closes standard input and sends SIGTERM; only the first may end us.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    args = parse()
    session = lt.session(settings(args))
    if args.magnet:
        params = lt.parse_magnet_uri(args.magnet)
    else:
        params = lt.load_torrent_file(args.torrent, TORRENT_LIMITS)
    params.save_path = args.dir
    # Without "paused" and "auto_managed": it starts at once and is never queued.
    params.flags &= ~(lt.torrent_flags.paused | lt.torrent_flags.auto_managed)
    if args.no_pex:
        params.flags |= lt.torrent_flags.disable_pex
    handle = session.add_torrent(params)
    for peer in args.peer:
        address, port = peer.rsplit(":", 1)
        handle.connect_peer((address, int(port)))
    asked = time.monotonic()
    while True:
        status = handle.status()
        # It looks once, perhaps before its node knows anybody, and then after a quarter of an hour: nobody waits so long here.
        if args.dht and not status.num_peers and time.monotonic() - asked > 2:
            asked = time.monotonic()
            handle.force_dht_announce()
        print(json.dumps({
            "state": str(status.state),
            "done": status.total_wanted_done,
            "size": status.total_wanted,
            "seeding": bool(status.is_seeding),
            "uploaded": status.total_payload_upload,
            "downloaded": status.total_payload_download,
            "peers": status.num_peers,
            "error": status.errc.message() if status.errc.value() else None,
        }), flush=True)
        ready, _, _ = select.select([sys.stdin], [], [], 0.25)
        if ready and not sys.stdin.read(1):
            break
    session.pause()
    handle.save_resume_data(lt.save_resume_flags_t.flush_disk_cache)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        session.wait_for_alert(500)
        done = (lt.save_resume_data_alert, lt.save_resume_data_failed_alert)
        if any(isinstance(alert, done) for alert in session.pop_alerts()):
            break


if __name__ == "__main__":
    main()
