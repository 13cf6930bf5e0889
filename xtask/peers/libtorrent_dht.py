"""libtorrent's node of the DHT for the interop tests: reads one JSON command a line, answers with one line each.

Commands: {"do": "announce", "hash": HEX, "port": N}, {"do": "peers", "hash": HEX}, {"do": "put", "text": T},
{"do": "put_key", "text": T, "salt": S}, {"do": "get", "target": HEX}, {"do": "get_key", "key": HEX, "salt": S}.
It ends when its standard input does.
"""

import argparse
import binascii
import json
import sys
import time

import libtorrent as lt

# The key pair of BEP 44's test vectors, in the expanded form that libtorrent takes.
SECRET = ("e06d3183d14159228433ed599221b80bd0a5ce8352e4bdf0262f76786ef1c74d"
          "b7e7a9fea2c0eb269d61e3b38e450a22e754941ac78479d6c54e1faf6037881d")
PUBLIC = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548"

PATIENCE = 30


def start(args):
    return lt.session({
        "listen_interfaces": args.listen,
        "enable_dht": True,
        "dht_bootstrap_nodes": args.router or "",
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "alert_mask": lt.alert.category_t.dht_notification | lt.alert.category_t.dht_operation_notification
        if hasattr(lt.alert.category_t, "dht_operation_notification") else lt.alert.category_t.all_categories,
        # All hosts of the lab have neighbouring addresses.
        "dht_restrict_routing_ips": False,
        "dht_restrict_search_ips": False,
    })


def wait(session, kind, wanted=lambda alert: True):
    """The next alert of this kind."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        session.wait_for_alert(200)
        for alert in session.pop_alerts():
            if isinstance(alert, kind) and wanted(alert):
                return alert
    return None


def sha1(digits):
    return lt.sha1_hash(binascii.unhexlify(digits))


def text_of(item):
    value = item.get("value") if isinstance(item, dict) else item
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else None


def conduct(session, command):
    what = command["do"]
    if what == "announce":
        session.dht_announce(sha1(command["hash"]), command["port"], 0)
        return {}
    if what == "peers":
        wanted = command["hash"]
        found, end = set(), time.monotonic() + 5
        session.dht_get_peers(sha1(wanted))
        while time.monotonic() < end and not found:
            session.wait_for_alert(200)
            for alert in session.pop_alerts():
                if isinstance(alert, lt.dht_get_peers_reply_alert) and str(alert.info_hash) == wanted:
                    found.update(f"{host}:{port}" for host, port in alert.peers())
        return {"peers": sorted(found)}
    if what == "put":
        target = session.dht_put_immutable_item(command["text"].encode())
        alert = wait(session, lt.dht_put_alert, lambda alert: str(alert.target) == str(target))
        return {"target": str(target), "stored": alert.num_success if alert else 0}
    if what == "put_key":
        args = [binascii.unhexlify(SECRET), binascii.unhexlify(PUBLIC), command["text"].encode(), command["salt"].encode()]
        session.dht_put_mutable_item(*args)
        alert = wait(session, lt.dht_put_alert)
        return {"key": PUBLIC, "stored": alert.num_success if alert else 0}
    if what == "get":
        session.dht_get_immutable_item(sha1(command["target"]))
        alert = wait(session, lt.dht_immutable_item_alert)
        return {"text": text_of(alert.item) if alert else None}
    if what == "get_key":
        session.dht_get_mutable_item(binascii.unhexlify(command["key"]), command["salt"].encode())
        # It tells of each better version, and last of the best.
        alert = wait(session, lt.dht_mutable_item_alert, lambda alert: alert.authoritative)
        return {"text": text_of(alert.item) if alert else None}
    raise ValueError(what)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True, help="address:port")
    parser.add_argument("--router", help="address:port")
    session = start(parser.parse_args())
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        try:
            answer = conduct(session, json.loads(line))
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
