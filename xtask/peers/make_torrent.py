"""Makes a torrent of a folder with libtorrent, as large as it comes, and prints its info-hash.

`gannet create` refuses what is larger than a `.torrent` file of strangers may be; metadata from peers may be larger.
"""

import sys

import libtorrent as lt


def main():
    folder, piece_len, output = sys.argv[1:]
    parent = folder.rsplit("/", 1)[0]
    made = lt.create_torrent(lt.list_files(folder), int(piece_len), lt.create_torrent.v1_only)
    lt.set_piece_hashes(made, parent)
    with open(output, "wb") as file:
        file.write(lt.bencode(made.generate()))
    print(lt.torrent_info(made.generate()).info_hashes().v1)


if __name__ == "__main__":
    main()
