#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the first corpora of fuzz_token, fuzz_keyset, fuzz_json and fuzz_b64u from the vectors.

    tests/support/make_fuzz_corpus.py tests
"""
import base64
import os
import re
import sys

tests = sys.argv[1]


def put(target, name, content):
    folder = os.path.join(tests, "fuzz/corpus", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(content)


def part(text):
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


# One case stands for all whose names differ in their last word only.
seen = set()
for kind in ("valid", "invalid"):
    root = os.path.join(tests, "vectors", kind)
    for case in sorted(os.listdir(root)):
        if not os.path.isdir(os.path.join(root, case)):
            continue
        with open(os.path.join(root, case, "input"), "rb") as f:
            text = f.read()
        group = (kind, case.rsplit("_", 1)[0]) if kind == "invalid" else case
        if group in seen or len(text) > 4096:
            continue
        seen.add(group)
        if case.startswith("signed_keyset_"):  # that corpus was made by hand
            continue
        if os.path.exists(os.path.join(root, case, "kind")):
            put("keyset", case, text)
            put("json", case, text)
        elif re.fullmatch(rb"[\w-]+\.[\w-]+\.[\w-]+", text) and all(
                len(p) % 4 != 1 for p in text.split(b".")):
            head, payload = (part(p) for p in text.split(b".")[:2])
            put("json", case, payload)
            if b"\n" not in head:
                put("token", case, head + b"\n" + payload)
        else:
            put("token", case, text)
put("token", "whole", open(os.path.join(tests, "vectors/valid/provider/input"), "rb").read())
for name, text in (("empty", b""), ("one", b"AA"), ("two", b"AAA"), ("three", b"AAAA"),
                   ("bits", b"AB"), ("bits_of_two", b"AAB"), ("alphabet", b"abcABC019-_x"),
                   ("padded", b"AA=="), ("plus", b"a+b/"), ("high", b"\xff\x00\x80")):
    put("b64u", name, text)
