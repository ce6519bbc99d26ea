"""Other proxies that tests compare with: installed ones, or those that test/run unpacked into build/peers (a package that is
installed would start a server on port 80)."""
import os
import shutil

PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "build", "peers")


def find(name):
    """Path of a program, or None."""
    places = [os.environ.get("PATH", ""), "/usr/sbin", os.path.join(PEERS, "usr", "sbin")]
    return shutil.which(name, path=os.pathsep.join(places))
