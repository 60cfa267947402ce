"""Checks feeds as README.md says, with nothing but Python's standard library.

python3 verify.py vectors.json   holds this implementation against the vectors
"""
import base64
import hashlib
import json
import sys


def sha(data):
    return hashlib.sha256(data).digest()


def b64(data):
    return base64.b64encode(data).decode()


# The canonical form (RFC 8785).

def unique(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a name stands twice in an object")
    return dict(pairs)


def number(n):
    if isinstance(n, float) and n == int(n) and abs(n) < 1e21:
        n = int(n)
    if isinstance(n, int):
        if abs(n) > 2**53 - 1:
            raise ValueError("a whole number is too large for this small implementation")
        return str(n)
    text = repr(n)
    if "e" in text:
        raise ValueError("a fraction is too small for this small implementation")
    return text


def string(s):
    s.encode("utf-8")  # fails for half of a surrogate pair
    return json.dumps(s, ensure_ascii=False)


def canonical(value):
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, str):
        return string(value)
    if isinstance(value, list):
        return "[" + ",".join(canonical(v) for v in value) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(string(n) + ":" + canonical(value[n]) for n in names) + "}"


def canonical_text(text):
    return canonical(json.loads(text, object_pairs_hook=unique)).encode("utf-8")


# The Merkle tree (RFC 6962) over digests.

def root(digests):
    if not digests:
        return sha(b"")
    if len(digests) == 1:
        return sha(b"\0" + digests[0])
    k = 1
    while k * 2 < len(digests):
        k *= 2
    return sha(b"\1" + root(digests[:k]) + root(digests[k:]))


def root_of_path(digest, index, size, path):
    """RFC 9162, 2.1.3.2."""
    fn, sn, r = index, size - 1, sha(b"\0" + digest)
    for p in path:
        if sn == 0:
            raise ValueError("the path is too long")
        if fn & 1 or fn == sn:
            r = sha(b"\1" + p + r)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha(b"\1" + r + p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise ValueError("the path is too short")
    return r


# Ed25519 (RFC 8032), for checking only.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        raise ValueError("no point")
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * I % P
    if (x * x - x2) % P or (x == 0 and sign):
        raise ValueError("no point")
    return P - x if x & 1 != sign else x


def point(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    x = recover_x(y, sign)
    return (x, y, 1, x * y % P)


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(s, p):
    q = (0, 1, 1, 0)
    while s:
        if s & 1:
            q = add(q, p)
        p, s = add(p, p), s >> 1
    return q


BY = 4 * pow(5, P - 2, P) % P
BX = recover_x(BY, 0)
BASE = (BX, BY, 1, BX * BY % P)


def ed25519(public, message, signature):
    if len(signature) != 64:
        return False
    try:
        a, r = point(public), point(signature[:32])
    except ValueError:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    p, q = times(s, BASE), add(r, times(h, a))
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


# Signed notes and checkpoints.

def open_note(text, vkey):
    name, hint, coded = vkey.split("+", 2)
    raw = base64.b64decode(coded)
    if raw[0] != 1 or sha(name.encode() + b"\n" + raw)[:4].hex() != hint:
        raise ValueError("this is no key")
    body, signatures = text.rsplit("\n\n", 1)
    body += "\n"
    for line in signatures.splitlines():
        dash, who, what = line.split(" ")
        data = base64.b64decode(what)
        if dash == "\u2014" and who == name and data[:4].hex() == hint:
            return body if ed25519(raw[1:], body.encode(), data[4:]) else None
    return None


def checkpoint(body):
    lines = body.splitlines()
    c = {"origin": lines[0], "size": int(lines[1]), "root": base64.b64decode(lines[2]), "withheld": [], "others": []}
    for line in lines[3:]:
        word, rest = line.split(" ", 1)
        if word == "chain":
            c["chain"] = base64.b64decode(rest)
        elif word in ("previous", "beside"):
            other, size, digest, _ = rest.split(" ")
            c["others"].append((word, other, int(size), base64.b64decode(digest)))
        elif word == "withheld":
            numbers, *hashes, reason = rest.split(" ")
            first, _, last = numbers.partition("-")
            hashes = [base64.b64decode(h) for h in hashes]
            if len(hashes) != (2 if last else 1):
                raise ValueError("one event has a digest, and a run the hash before and after it")
            c["withheld"].append((int(first), int(last or first), hashes, reason))
    return c


# The check of feeds: the events of each have to lead to its checkpoints, and to what those of
# others say of it.

GRAVITY = ["complete", "not_covered", "unchecked", "missing", "altered"]


def check(feeds, notes, vkey):
    heads, held, ended = {}, {}, set()
    verdict = "complete"

    def worse(other):
        nonlocal verdict
        verdict = max(verdict, other, key=GRAVITY.index)

    def head(origin, size, digest):
        if heads.setdefault(origin, {}).setdefault(size, digest) != digest:
            worse("altered")

    before = {}
    for note in notes:
        body = open_note(note, vkey)
        if body is None:
            continue
        c = checkpoint(body)
        head(c["origin"], c["size"], c["chain"])
        for word, other, size, digest in c["others"]:
            head(other, size, digest)
            if word == "previous":
                ended.add(other)
                if before.setdefault(c["origin"], (other, size, digest)) != (other, size, digest):
                    worse("altered")
        mine = held.setdefault(c["origin"], {})
        for first, last, hashes, reason in c["withheld"]:
            if first != last:
                head(c["origin"], first - 1, hashes[0])
                head(c["origin"], last, hashes[1])
            known = mine.get(first)
            if known and known[0] == last and known[1] != hashes:
                worse("altered")
            if not known or known[0] < last:
                mine[first] = (last, hashes, reason)
    for origin in set(heads) | set(feeds):
        worse(check_feed(origin, feeds.get(origin, []), heads.get(origin, {}), held.get(origin, {}), origin in ended))
    return verdict


def check_feed(origin, items, heads, held, ended):
    found = {}
    for number, digest, chain in items:
        if found.setdefault(number, (digest, chain)) != (digest, chain):
            return "altered"
    if not heads:
        return "not_covered"
    at, n, verdict = sha(origin.encode()), 0, "complete"
    if heads.get(0, at) != at:
        verdict = "altered"
    while n < max(heads):
        n += 1
        if n in found:
            digest, chain = found[n]
            if at is not None and sha(at + digest) != chain:
                verdict = "altered"
            at = chain
        elif n in held:
            last, hashes, reason = held[n]
            if last == n:
                at = at and sha(at + hashes[0])
            else:
                # What stands before the run was held against hashes[0], as a checkpoint's hash.
                at, n = hashes[1], last
                if reason == "some" and verdict == "complete":
                    verdict = "unchecked"
        else:
            at = None  # the next event's hash is all that is known
            if verdict == "complete":
                verdict = "missing"
        if n in heads and at is not None and at != heads[n]:
            verdict = "altered"
    if verdict == "complete" and ended and max(found, default=0) > max(heads):
        verdict = "not_covered"  # nothing will ever vouch for these
    return verdict


def main(path):
    v = json.load(open(path, encoding="utf-8"))
    done = 0

    def same(what, got, want):
        nonlocal done
        done += 1
        if got != want:
            raise SystemExit("%s: %r, and the vectors say %r" % (what, got, want))

    for c in v["canonical"]:
        got = canonical_text(c["text"])
        same(c["text"], got.decode(), c["canonical"])
        same(c["text"], b64(sha(got)), c["digest"])
    for text in v["invalid"]:
        try:
            canonical_text(text)
        except (ValueError, UnicodeEncodeError):
            done += 1
            continue
        raise SystemExit("%r has a canonical form" % text)
    feed = v["feed"]
    at = sha(feed["origin"].encode())
    same("begin", b64(at), feed["begin"])
    same("feed", base64.b32encode(at[:10]).decode().lower(), feed["id"])
    digests = []
    for e in feed["events"]:
        digest = sha(canonical_text(e["event"]))
        digests.append(digest)
        at = sha(at + digest)
        same("digest", b64(digest), e["digest"])
        same("chain", b64(at), e["chain"])
        same("root", b64(root(digests)), e["root"])
    for c in v["checkpoints"]:
        same("checkpoint", open_note(c["note"], v["key"]) is not None, c["signed"])
    head, note = v["proof"].split("\n\n", 1)
    lines = head.split("\n")
    event = base64.b64decode(lines[1].split(" ")[1])
    path = [base64.b64decode(h) for h in lines[3:]]
    c = checkpoint(open_note(note, v["key"]))
    same("proof", root_of_path(sha(canonical_text(event)), int(lines[2].split(" ")[1]), c["size"], path), c["root"])

    def received(items):
        return [(i["number"], base64.b64decode(i["digest"]), base64.b64decode(i["chain"])) for i in items]

    for c in v["checks"]:
        same(c["name"], check({feed["origin"]: received(c["items"])}, c["checkpoints"] or [], v["key"]), c["verdict"])
    for c in v["links"]:
        same(c["name"], check({f["origin"]: received(f["items"]) for f in c["feeds"]}, c["checkpoints"], v["key"]), c["verdict"])
    print("all right: %d checks" % done)


main(sys.argv[1])
