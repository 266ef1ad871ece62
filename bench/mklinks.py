#!/usr/bin/env python3
"""mklinks.py MAILDIR COUNT: a Maildir of COUNT names for a few small messages, in seconds: what a mailbox costs by number alone."""
import os, sys
root, count = sys.argv[1], int(sys.argv[2])
each = 60000  # ext4 gives a file 65,000 names
for d in ("cur", "new", "tmp"): os.makedirs(os.path.join(root, d), exist_ok=True)
cur = os.open(os.path.join(root, "cur"), os.O_RDONLY)
for i in range(count):
    name = "%d.M%06dP%d.bench:2,%s" % (1700000000 + i // 10, i % 1000000, i % 30000, "S" if i % 3 else "")
    if i % each == 0:
        first = name
        with open(os.path.join(root, "cur", name), "w") as f: f.write("From: a@example.org\nTo: b@example.org\nSubject: number %d\nMessage-ID: <%d@example.org>\nDate: Sat, 21 Nov 2026 00:00:00 +0000\n\nHello.\n" % (i, i))
    else: os.link(first, name, src_dir_fd=cur, dst_dir_fd=cur)
