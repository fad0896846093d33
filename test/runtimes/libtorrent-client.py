"""A stock BitTorrent client for the tests: downloads, or seeds what is already there, by one .torrent file.

usage: libtorrent-client.py TORRENT DIRECTORY LISTEN_HOST:PORT
Prints one JSON object per line and poll: state, progress, bytes by peer address. Ends when its standard input does.
"""

import json
import select
import sys

import libtorrent as lt

torrent_file, directory, listen = sys.argv[1:4]
session = lt.session(
    {
        "listen_interfaces": listen,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True,
        # Everybody is on loopback here.
        "announce_to_all_trackers": True,
        "min_reconnect_time": 1,
        "out_enc_policy": int(lt.enc_policy.pe_disabled),
        "in_enc_policy": int(lt.enc_policy.pe_enabled),
        "alert_mask": int(lt.alert.category_t.error_notification | lt.alert.category_t.tracker_notification),
    }
)
handle = session.add_torrent({"ti": lt.torrent_info(torrent_file), "save_path": directory})
taken, given = {}, {}
while True:
    if select.select([sys.stdin], [], [], 0.1)[0] and not sys.stdin.readline():
        break
    status = handle.status()
    for peer in handle.get_peer_info():
        name = "%s:%d" % peer.ip
        taken[name] = max(taken.get(name, 0), peer.total_download)
        given[name] = max(given.get(name, 0), peer.total_upload)
    print(
        json.dumps(
            {
                "state": str(status.state),
                "progress": status.progress,
                "done": status.is_seeding,
                "error": status.errc.message() if status.errc.value() else "",
                "uploaded": status.total_payload_upload,
                "downloaded": status.total_payload_download,
                "taken": taken,
                "given": given,
                "alerts": [alert.message() for alert in session.pop_alerts()],
            }
        ),
        flush=True,
    )
