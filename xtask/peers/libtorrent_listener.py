"""libtorrent with local discovery and the DHT on, which is to find out what others on its network share.

Reads one JSON command a line: {"do": "magnet", "hash": HEX} looks for a torrent, {"do": "report"} says what is known by now.
It ends when its standard input does.
"""

import json
import sys
import tempfile

import libtorrent as lt


def main():
    listen = sys.argv[1]
    session = lt.session({
        "listen_interfaces": listen,
        "enable_dht": True,
        "dht_bootstrap_nodes": "",
        "enable_lsd": True,
        "enable_upnp": False,
        "enable_natpmp": False,
        "alert_mask": lt.alert.category_t.all_categories,
        "dht_restrict_routing_ips": False,
        "ssrf_mitigation": False,
    })
    folder = tempfile.mkdtemp()
    handles = {}
    heard = {"lsd_peers": 0, "dht_queries": 0, "incoming": 0}
    # Not every kind has a class in Python.
    kinds = {"lsd_peer": "lsd_peers", "dht_announce": "dht_queries", "dht_get_peers": "dht_queries",
             "incoming_connection": "incoming"}
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        for alert in session.pop_alerts():
            if alert.what() in kinds:
                heard[kinds[alert.what()]] += 1
        if command["do"] == "magnet":
            params = lt.parse_magnet_uri("magnet:?xt=urn:btih:" + command["hash"])
            params.save_path = folder
            params.flags &= ~(lt.torrent_flags.paused | lt.torrent_flags.auto_managed)
            handles[command["hash"]] = session.add_torrent(params)
            print(json.dumps({"looking": command["hash"]}), flush=True)
        else:
            statuses = [handle.status() for handle in handles.values()]
            print(json.dumps({
                **heard,
                "nodes": session.status().dht_nodes,
                "looking": len(statuses),
                "peers": sum(status.num_peers + status.list_peers for status in statuses),
                "metadata": sum(status.has_metadata for status in statuses),
                "bytes": sum(status.total_payload_download for status in statuses),
            }), flush=True)


if __name__ == "__main__":
    main()
