#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/vectors/invalid and tests/vectors/valid; see tests/vectors/README.

    tests/support/make_invalid_vectors.py tests/vectors

Needs python3-cryptography. Everything is derived from fixed seeds: a second run writes the same.
"""
import hashlib
import hmac
import sys

from vector_lib import *

bad = Folder(sys.argv[1] + "/invalid")
good = Folder(sys.argv[1] + "/valid")
DEFAULT_KEYS = key_set(KEY.jwk(), OTHER.jwk())
for folder in (bad, good):
    folder.put("default_keys.json", DEFAULT_KEYS)
    folder.put("default_issuer", ISSUER + "\n")
    folder.put("default_audience", AUDIENCE + "\n")
    folder.put("default_now", "%d\n" % NOW)

TOKEN = token()
HEAD, PAYLOAD, SIG = TOKEN.split(b".")


def malformed(name, content, says=None, **files):
    bad.case(name, "E_MALFORMED", content, says, **files)


def claim(name, path, value, says=None, base=None):
    bad.case(name, "E_CLAIMS", token(change(claims() if base is None else base, path, value)),
             says or path)


def signature(name, sig, says="signature", signed=None):
    signed = HEAD + b"." + PAYLOAD if signed is None else signed
    bad.case(name, "E_SIGNATURE", signed + b"." + b64u(sig).encode(), says)


# ---- what must be accepted: the ground that the hostile ones stand on ----

good.case("provider", "OK", TOKEN)
good.case("enterprise", "OK", token(enterprise()))
good.case("enterprise_minimal", "OK",
          token(change(enterprise(), "attestation_metadata.safety_level", "minimal")))
good.case("alg_ed25519", "OK", token(head=header(alg="Ed25519")),
          keys=key_set(KEY.jwk(alg="Ed25519")))
good.case("typ_agent_attestation", "OK", token(head=header(typ="agent-attestation+jwt")))
good.case("header_other_order", "OK",
          token_of('{"kid":"%s","typ":"JWT","alg":"EdDSA"}' % KEY.kid, dumps(claims())))
good.case("header_escaped_spelling", "OK",
          token_of('{"\\u0061lg":"EdD\\u0053A","typ":"JWT","kid":"%s"}' % KEY.kid,
                   dumps(claims())))
good.case("white_space_in_json", "OK",
          token_of('{ "alg" : "EdDSA",\r\n\t"typ":"JWT","kid":"%s" }\n' % KEY.kid,
                   json.dumps(claims(), indent=2)))
good.case("aud_array_of_one", "OK", token(change(claims(), "aud", [AUDIENCE])))
good.case("aud_array_with_cnf", "OK", token(change(change(
    claims(), "aud", ["https://a.example", AUDIENCE]), "cnf", AGENT.cnf())))
good.case("cnf", "OK", token(change(claims(), "cnf", AGENT.cnf())))
good.case("cnf_with_other_members", "OK",
          token(change(claims(), "cnf", {**AGENT.cnf(kid="x", use="sig"), "kid": "y"})))
good.case("unknown_claims", "OK",
          token({**claims(), "admin": True, "scope": ["a", {"b": None}], "n": 1.5e3}))
good.case("integrity", "OK", token(change(claims(), "agent_integrity", {
    "config_hash": "sha256:" + "0f" * 32, "system_prompt_hash": "sha256:" + "a5" * 32})))
good.case("integrity_empty", "OK", token(change(claims(), "agent_integrity", {})))
NESTED = "attestation_metadata.nested_attestation"


def nesting(inner=None, outer=None, key=KEY, head=None):
    """A token around another, each as it should be but for what is handed in."""
    inner = change(claims(), "aud", ISSUER) if inner is None else inner
    outer = claims() if outer is None else outer
    return token(change(outer, NESTED, token(inner, key=key, head=head).decode()))


good.case("nested", "OK", nesting())
good.case("nested_of_unknown_issuer", "OK", nesting({"iss": "https://unknown.example"}))
good.case("trust_domain_and_provider", "OK", TOKEN, trust_domain="ai.example.com\n",
          provider="anthropic\n")
good.case("expired_within_skew", "OK", TOKEN, now="%d\n" % (NOW + 290 + 29))
good.case("not_yet_valid_within_skew", "OK", TOKEN, now="%d\n" % (NOW - 10 - 29))
good.case("kid_opaque", "OK", token(head=header(kid="../../etc/passwd' OR 1=1 --")),
          keys=key_set(KEY.jwk(kid="../../etc/passwd' OR 1=1 --")))
good.case("kid_256_bytes", "OK", token(head=header(kid="k" * 256)),
          keys=key_set(KEY.jwk(kid="k" * 256)))
good.case("keys_of_other_kinds_beside", "OK", TOKEN, keys=key_set(
    {"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"}, {"kty": "oct", "k": "AAAA"},
    {"kty": "EC", "crv": "P-384", "kid": "e", "x": "AA", "y": "AA"}, {"kty": "new"}, KEY.jwk()))
good.case("key_without_use_and_alg", "OK", TOKEN, keys=key_set(KEY.jwk(use=..., alg=...)))

# ---- size and structure ----

malformed("empty", b"")
malformed("one_part", HEAD, "three parts")
malformed("two_parts", HEAD + b"." + PAYLOAD, "three parts")
malformed("four_parts", TOKEN + b".AAAA", "three parts")
malformed("five_parts_jwe", b".".join([HEAD, b"AAAA", b"AAAA", PAYLOAD, SIG]), "three parts")
malformed("dots_only", b"..", "three parts")
malformed("empty_header", b"." + PAYLOAD + b"." + SIG, "three parts")
malformed("empty_payload", HEAD + b".." + SIG, "three parts")
malformed("empty_signature", HEAD + b"." + PAYLOAD + b".", "three parts")
malformed("leading_dot", b"." + TOKEN, "three parts")
malformed("trailing_dot", TOKEN + b".", "three parts")
malformed("two_dots_in_a_row", HEAD + b".." + PAYLOAD + b"." + SIG, "three parts")
malformed("too_long", token({**claims(), "pad": ["x" * 1000] * 6}), "at most 8192")
malformed("json_serialization", dumps({
    "protected": HEAD.decode(), "payload": PAYLOAD.decode(), "signature": SIG.decode()}))
malformed("bearer_prefix", b"Bearer " + TOKEN, "base64url")
malformed("quoted", b'"' + TOKEN + b'"', "base64url")

# ---- base64url ----

for name, at in (("header", 0), ("payload", 1), ("signature", 2)):
    parts = [HEAD, PAYLOAD, SIG]

    def with_part(part):
        return b".".join(parts[:at] + [part] + parts[at + 1:])

    malformed("padding_" + name, with_part(parts[at] + b"=" * (-len(parts[at]) % 4 or 4)),
              name + " is not strict base64url")
    malformed("one_character_more_" + name, with_part(parts[at] + b"A" * ((1 - len(parts[at])) % 4)),
              name + " is not strict base64url")
    malformed("space_in_" + name, with_part(parts[at][:8] + b" " + parts[at][8:]),
              name + " is not strict base64url")
malformed("leading_space", b" " + TOKEN, "base64url")
malformed("trailing_space", TOKEN + b" ", "base64url")
malformed("trailing_newline", TOKEN + b"\n", "base64url")
malformed("trailing_crlf", TOKEN + b"\r\n", "base64url")
malformed("trailing_nul", TOKEN + b"\0", "base64url")
malformed("nul_inside", HEAD + b"." + PAYLOAD[:20] + b"\0" + PAYLOAD[21:] + b"." + SIG,
          "base64url")
malformed("line_breaks_as_in_mime", HEAD + b"." + b"\n".join(
    PAYLOAD[i:i + 64] for i in range(0, len(PAYLOAD), 64)) + b"." + SIG, "base64url")
malformed("bom_before_token", b"\xef\xbb\xbf" + TOKEN, "base64url")
malformed("high_bytes", HEAD + b"." + PAYLOAD[:20] + b"\xc3\xa9" + PAYLOAD[22:] + b"." + SIG,
          "base64url")
malformed("standard_alphabet_plus", HEAD + b"." + PAYLOAD[:-4] + b"+++A." + SIG, "base64url")
malformed("standard_alphabet_slash", HEAD + b"." + PAYLOAD[:-4] + b"///A." + SIG, "base64url")
malformed("percent_encoded", HEAD + b"." + PAYLOAD[:20] + b"%2D" + PAYLOAD[23:] + b"." + SIG,
          "base64url")


def next_character(text):
    """The last character with the lowest of its unused bits set."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1:]) + 1:][:1]


# A part with unused bits needs a length that is no multiple of three.
for name, extra in (("header", 1), ("payload", 2)):
    head_text, payload_text = dumps(header()), dumps(claims())
    while len(head_text) % 3 != extra:
        head_text += " "
    while len(payload_text) % 3 != extra:
        payload_text += " "
    h, p = b64u(head_text).encode(), b64u(payload_text).encode()
    if name == "header":
        h = next_character(h)
    else:
        p = next_character(p)
    malformed("trailing_bits_" + name, h + b"." + p + b"." + b64u(KEY.sign(h + b"." + p)).encode(),
              name + " is not strict base64url")
malformed("trailing_bits_signature", HEAD + b"." + PAYLOAD + b"." + next_character(SIG),
          "signature is not strict base64url")

# ---- header: alg ----

for alg in ("none", "None", "NONE", "nOnE", "HS256", "HS512", "RS256", "PS256", "ES256K",
            "eddsa", "EDDSA", "ed25519", "Ed448", "Ed25519ph", "EdDSA ", " EdDSA", "EdDSA\n", ""):
    name = {"": "empty", "EdDSA ": "EdDSA_space", " EdDSA": "space_EdDSA",
            "EdDSA\n": "EdDSA_newline", "None": "None_capital", "NONE": "NONE_capitals",
            "nOnE": "nOnE_mixed", "EDDSA": "EDDSA_capitals", "eddsa": "eddsa_small",
            "ed25519": "ed25519_small"}.get(alg, alg)
    malformed("alg_" + name, token(head=header(alg=alg)), "alg is neither")
malformed("alg_ES256", token(head=header(alg="ES256")), "alg ES256 is not allowed")
malformed("alg_none_unsigned", b64u(dumps({"alg": "none", "typ": "JWT"})).encode() + b"." + PAYLOAD
          + b".", "three parts")
malformed("alg_none_unsigned_with_kid", b64u(dumps(header(alg="none"))).encode() + b"." + PAYLOAD
          + b".AA", "alg is neither")
hs_signed = b64u(dumps(header(alg="HS256"))).encode() + b"." + PAYLOAD
malformed("alg_HS256_with_public_key_as_secret", hs_signed + b"." + b64u(
    hmac.new(KEY.public, hs_signed, hashlib.sha256).digest()).encode(), "alg is neither")
malformed("alg_missing", token(head=header(alg=...)), "lacks one of")
malformed("alg_null", token(head=header(alg=None)), "'alg' is no string")
malformed("alg_number", token(head=header(alg=1)), "'alg' is no string")
malformed("alg_array", token(head=header(alg=["EdDSA"])), "'alg' is no string")
malformed("alg_object", token(head=header(alg={"EdDSA": 1})), "'alg' is no string")
malformed("alg_nul_behind", token(head=header(alg="EdDSA\0")), "U+0000")
malformed("alg_twice", token_of('{"alg":"EdDSA","typ":"JWT","kid":"%s","alg":"EdDSA"}' % KEY.kid,
                                dumps(claims())), "duplicate")
malformed("alg_twice_none_first", token_of('{"alg":"none","typ":"JWT","kid":"%s","alg":"EdDSA"}'
                                           % KEY.kid, dumps(claims())), "duplicate")
malformed("alg_twice_escaped", token_of(
    '{"alg":"EdDSA","typ":"JWT","kid":"%s","\\u0061l\\u0067":"none"}' % KEY.kid,
    dumps(claims())), "duplicate")
malformed("Alg_capital", token_of('{"Alg":"EdDSA","typ":"JWT","kid":"%s"}' % KEY.kid,
                                  dumps(claims())), "'Alg' is not allowed")

# ---- header: typ and kid ----

for typ in ("jwt", "Jwt", "JWS", "JOSE", "application/jwt", "at+jwt", "wpt+jwt", "cnf-proof+jwt",
            "jwk-set+jwt", "attest-checkpoint+jwt", "Agent-Attestation+JWT",
            "application/agent-attestation+jwt", ""):
    malformed("typ_" + (typ.replace("/", "_") or "empty").replace("Jwt", "Jwt_mixed").replace(
        "Agent-Attestation+JWT", "agent_attestation_capitals"), token(head=header(typ=typ)),
        "typ is not one")
malformed("typ_missing", token(head=header(typ=...)), "lacks one of")
malformed("typ_null", token(head=header(typ=None)), "'typ' is no string")
malformed("typ_array", token(head=header(typ=["JWT"])), "'typ' is no string")
malformed("kid_missing", token(head=header(kid=...)), "lacks one of")
malformed("kid_empty", token(head=header(kid="")), "kid is not 1 to 256")
malformed("kid_257_bytes", token(head=header(kid="k" * 257)), "kid is not 1 to 256",
          keys=key_set(KEY.jwk()))
malformed("kid_2000_bytes", token(head=header(kid="k" * 2000)), "string too long")
malformed("kid_number", token(head=header(kid=1)), "'kid' is no string")
malformed("kid_null", token(head=header(kid=None)), "'kid' is no string")
malformed("kid_array", token(head=header(kid=[KEY.kid])), "'kid' is no string")
malformed("kid_object", token(head=header(kid={"a": KEY.kid})), "'kid' is no string")
malformed("kid_twice", token_of('{"alg":"EdDSA","typ":"JWT","kid":"%s","kid":"%s"}'
                                % (KEY.kid, OTHER.kid), dumps(claims())), "duplicate")
malformed("kid_with_nul", token(head=header(kid=KEY.kid + "\0")), "U+0000")
for name, kid in (("unknown", "nobody"), ("path", "../../../../etc/passwd"),
                  ("url", "https://evil.example/jwks.json"), ("sql", "' UNION SELECT 'x"),
                  ("other_case", KEY.kid.swapcase()), ("prefix", KEY.kid[:-1]),
                  ("longer", KEY.kid + "A"), ("with_space", KEY.kid + " ")):
    bad.case("kid_" + name, "E_KEY_UNKNOWN", token(head=header(kid=kid)))

# ---- header: members that have no place there ----

for name, value in (
        ("jwk", OTHER.jwk()), ("jku", "https://evil.example/jwks.json"),
        ("x5u", "https://evil.example/chain.pem"), ("x5c", ["MIIB"]), ("x5t", "AAAA"),
        ("x5t#S256", "AAAA"), ("crit", ["exp"]), ("zip", "DEF"), ("b64", False), ("cty", "JWT"),
        ("enc", "A128GCM"), ("apu", "AA"), ("iss", ISSUER), ("nonce", "x"), ("url", "x"),
        ("svt", []), ("unknown", 1), ("", 1)):
    key = OTHER if name == "jwk" else KEY
    malformed("header_member_" + (name.replace("#", "_") or "empty"),
              token(head={**header(), name: value}, key=key), "is not allowed")
malformed("header_jwk_without_kid", token(head={**header(kid=...), "jwk": OTHER.jwk()}, key=OTHER),
          "'jwk' is not allowed")
malformed("header_crit_empty", token(head={**header(), "crit": []}), "is not allowed")
malformed("header_crit_b64", token(head={"crit": ["b64"], "b64": False, **header()}),
          "is not allowed")
b64_signed = b64u(dumps({**header(), "b64": False, "crit": ["b64"]})).encode()
malformed("header_b64_unencoded_payload", b64_signed + b"." + dumps(claims()).replace(
    ".", "").encode() + b"." + SIG, "base64url")
malformed("header_many_members", token(head={**{"m%d" % i: i for i in range(64)}, **header()}))

# ---- header: JSON ----


def header_text(name, text, says=None):
    malformed("header_" + name, token_of(text, dumps(claims())), says)


H = dumps(header())
header_text("not_json", "EdDSA", "not a JSON value")
header_text("space_only", " ", "cut off")
header_text("empty_object", "{}", "lacks one of")
header_text("null", "null", "no JSON object")
header_text("array", "[" + H + "]", "no JSON object")
header_text("string", dumps(H), "no JSON object")
header_text("number", "1", "no JSON object")
header_text("cut_off", H[:-1], "cut off")
header_text("bytes_behind", H + "x", "bytes behind")
header_text("two_objects", H + H, "bytes behind")
header_text("nul_behind", H + "\0", "bytes behind")
header_text("bom", b"\xef\xbb\xbf" + H.encode(), "not a JSON value")
header_text("utf16", H.encode("utf-16"), "not a JSON value")
header_text("bad_utf8", b'{"alg":"EdDSA","typ":"JWT","kid":"\xff"}', "not UTF-8")
header_text("trailing_comma", H[:-1] + ",}", "member name expected")
header_text("comment", H[:-1] + "/* x */}", "',' expected")
header_text("single_quotes", H.replace('"', "'"), "member name expected")
header_text("unquoted_names", H.replace('"alg"', "alg"), "member name expected")
header_text("deep", '{"alg":' + "[" * 1000 + "]" * 1000 + "}", "nested too deep")

# ---- payload: JSON ----


def payload_text(name, text, says=None):
    malformed("payload_" + name, token_of(H, text), says)


C = dumps(claims())
payload_text("not_json", "claims", "not a JSON value")
payload_text("null", "null", "no JSON object")
payload_text("array", "[" + C + "]", "no JSON object")
payload_text("string", dumps(C), "no JSON object")
payload_text("cut_off", C[:-1], "cut off")
payload_text("bytes_behind", C + "x", "bytes behind")
payload_text("two_objects", C + C, "bytes behind")
payload_text("nul_behind", C + "\0", "bytes behind")
payload_text("bom", b"\xef\xbb\xbf" + C.encode(), "not a JSON value")
payload_text("utf16", C.encode("utf-16-le"), "")
payload_text("trailing_comma", C[:-1] + ",}", "member name expected")
payload_text("comment", C[:-1] + "//x\n}", "',' expected")
payload_text("form_feed_as_space", C[:-1] + "\f}", "',' expected")
payload_text("nbsp_as_space", C[:-1] + "\u00a0}", "',' expected")
payload_text("deflated", bytes([0x78, 0x9c]) + C.encode(), "not a JSON value")


def with_text(name, member, says):
    payload_text(name, C[:-1] + "," + member + "}", says)


with_text("exp_twice", '"exp":9999999999', "duplicate")
with_text("exp_twice_escaped", '"\\u0065xp":9999999999', "duplicate")
with_text("iss_twice_escaped", '"\\u0069\\u0073\\u0073":"https://evil.example"', "duplicate")
with_text("nested_duplicate", '"x":{"a":1,"a":1}', "duplicate")
with_text("nested_duplicate_escaped", '"x":[{"a/b":1,"a\\/b":1}]', "duplicate")
malformed("payload_provider_twice", raw_claim(
    "agent_identity", '{"model_family":"f","model_version":"claude-sonnet-4","provider":"anthropic"'
    ',"provider":"evil"}'), "duplicate")
with_text("nan", '"x":NaN', "not a JSON value")
with_text("infinity", '"x":Infinity', "not a JSON value")
with_text("minus_infinity", '"x":-Infinity', "not a number")
with_text("leading_zero", '"x":01', "not a number")
with_text("plus_sign", '"x":+1', "not a JSON value")
with_text("hex_number", '"x":0x10', "',' expected")
with_text("bare_point", '"x":1.', "not a number")
with_text("bare_exponent", '"x":1e', "not a number")
with_text("True_capital", '"x":True', "not a JSON value")
with_text("control_character", '"x":"a\tb"', "control character")
with_text("nul_in_string", '"x":"a\0b"', "control character")
with_text("nul_escaped", '"x":"\\u0000"', "U+0000")
with_text("nul_escaped_in_name", '"x\\u0000":1', "U+0000")
with_text("lone_high_surrogate", '"x":"\\ud800"', "lone surrogate")
with_text("lone_low_surrogate", '"x":"\\udc00"', "lone surrogate")
with_text("unknown_escape", '"x":"\\x41"', "unknown escape")
with_text("depth_9", '"x":' + "[" * 8 + "]" * 8, "nested too deep")
with_text("depth_2000", '"x":' + "[" * 2000 + "]" * 2000, "nested too deep")
with_text("depth_unclosed", '"x":' + '{"a":' * 500 + "1", "nested too deep")
with_text("65_members", '"x":{' + ",".join('"m%d":1' % i for i in range(65)) + "}",
          "too many members")
with_text("too_many_values", '"x":[' + ",".join("1" * 1 for i in range(1100)) + "]",
          "too many values")
with_text("string_1025_bytes", '"x":"' + "a" * 1025 + '"', "too long")
with_text("name_1025_bytes", '"' + "a" * 1025 + '":1', "too long")
with_text("string_4097_bytes", '"x":"' + "a" * 4097 + '"', "string too long")
for name, text in (("overlong", b"\xc0\xaf"), ("surrogate", b"\xed\xa0\x80"),
                   ("too_large", b"\xf4\x90\x80\x80"), ("cut_off", b"\xe2\x82"),
                   ("continuation", b"\x80"), ("ff", b"\xff"), ("latin1", b"caf\xe9")):
    payload_text("utf8_" + name, C[:-1].encode() + b',"x":"' + text + b'"}', "not UTF-8")
payload_text("utf8_overlong_quote", C[:-1].encode() + b',"x":"\xc0\xa2}', "not UTF-8")
malformed("nested_attestation_4097_bytes", token(change(
    claims(), "attestation_metadata.nested_attestation", "a.b." + "c" * 4093)), "too long")
malformed("sub_2049_bytes", token(change(
    claims(), "sub", "spiffe://ai.example.com/model/" + "m" * 2019)), "too long")
malformed("model_version_1025_bytes", token(change(
    claims(), "agent_identity.model_version", "m" * 1025)), "too long")

# ---- issuer ----

malformed("iss_missing", token(change(claims(), "iss", ...)), "iss")
for name, value in (("null", None), ("number", 1), ("array", [ISSUER]), ("object", {"a": ISSUER}),
                    ("true", True), ("empty", "")):
    malformed("iss_" + name, token(change(claims(), "iss", value)), "iss")
for name, value in (
        ("other", "https://evil.example"), ("trailing_slash", ISSUER + "/"),
        ("upper_case_host", "https://AI.example.com"), ("http", "http://ai.example.com"),
        ("port_443", ISSUER + ":443"), ("longer", ISSUER + ".evil.example"),
        ("user_info", ISSUER + "@evil.example"), ("shorter", ISSUER[:-1]),
        ("leading_space", " " + ISSUER), ("trailing_space", ISSUER + " "),
        ("cyrillic", ISSUER.replace("a", "\u0430")), ("fragment", ISSUER + "#x"),
        ("dot", ISSUER + "."), ("path", ISSUER + "/x")):
    bad.case("iss_" + name, "E_ISSUER", token(change(claims(), "iss", value)))

# ---- signature ----

SIGNED = HEAD + b"." + PAYLOAD
RAW = KEY.sign(SIGNED)
R, S = RAW[:32], int.from_bytes(RAW[32:], "little")
signature("signature_zero", bytes(64))
signature("signature_63_bytes", RAW[:63])
signature("signature_65_bytes", RAW + b"\0")
signature("signature_32_bytes", RAW[:32])
signature("signature_twice", RAW + RAW)
signature("signature_r_bit", bytes([RAW[0] ^ 1]) + RAW[1:])
signature("signature_s_bit", RAW[:32] + bytes([RAW[32] ^ 1]) + RAW[33:])
signature("signature_top_bit", RAW[:63] + bytes([RAW[63] ^ 0x80]))
signature("signature_swapped_halves", RAW[32:] + RAW[:32])
signature("signature_s_plus_l", R + (S + L).to_bytes(32, "little"))
if S + 2 * L < 2**256:
    signature("signature_s_plus_2l", R + (S + 2 * L).to_bytes(32, "little"))
signature("signature_s_zero", R + bytes(32))
signature("signature_s_is_l", R + L.to_bytes(32, "little"))
signature("signature_other_key", OTHER.sign(SIGNED))
signature("signature_of_payload_alone", KEY.sign(PAYLOAD))
signature("signature_of_json", KEY.sign(dumps(claims()).encode()))
signature("signature_of_signed_with_dot", KEY.sign(SIGNED + b"."))
signature("signature_of_sha512", KEY.sign(hashlib.sha512(SIGNED).digest()))
signature("signature_hs512_with_public_key", hmac.new(KEY.public, SIGNED, hashlib.sha512).digest())
LOW_ORDER = {
    "identity": (1).to_bytes(32, "little"),
    "order_2": (P - 1).to_bytes(32, "little"),
    "order_4": bytes(32),
    "order_4_sign": bytes(31) + b"\x80",
    "identity_not_canonical": (P + 1).to_bytes(32, "little"),
    "order_4_not_canonical": P.to_bytes(32, "little"),
    "order_8": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    "order_8_other": bytes.fromhex(
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
}
for name in ("identity", "order_2", "identity_not_canonical"):
    signature("signature_r_" + name, KEY.sign_with_r(LOW_ORDER[name], SIGNED))
signature("signature_r_not_on_curve", (2).to_bytes(32, "little") + RAW[32:])
tampered = b64u(dumps(change(claims(), "agent_identity.model_version", "claude-opus-4"))).encode()
signature("payload_changed", RAW, signed=HEAD + b"." + tampered)
signature("header_changed", RAW, signed=b64u(dumps(header(
    typ="agent-attestation+jwt"))).encode() + b"." + PAYLOAD)
bad.case("header_alg_changed", "E_SIGNATURE", b64u(dumps(header(alg="Ed25519"))).encode() + b"."
         + PAYLOAD + b"." + b64u(RAW).encode(), "signature", keys=key_set(KEY.jwk(alg=...)))
malformed("alg_other_than_the_key_has", token(head=header(alg="Ed25519")), "the key is for EdDSA")
signature("kid_of_another_key", RAW, signed=b64u(dumps(header(
    kid=OTHER.kid))).encode() + b"." + PAYLOAD)
bad.case("signed_by_another_key", "E_SIGNATURE", token(key=OTHER), "signature")
bad.case("signed_by_cnf_key", "E_SIGNATURE",
         token(change(claims(), "cnf", OTHER.cnf()), key=OTHER), "signature")
# Faults in the claims are not told before the signature has been checked.
bad.case("bad_claims_and_bad_signature", "E_SIGNATURE", token({"iss": ISSUER}, key=OTHER))
bad.case("expired_and_bad_signature", "E_SIGNATURE",
         token(change(claims(), "exp", 1), key=OTHER))
bad.case("unknown_key_and_bad_claims", "E_KEY_UNKNOWN",
         token({"iss": ISSUER}, head=header(kid="nobody")))
bad.case("other_issuer_and_unknown_key", "E_ISSUER",
         token({"iss": "https://evil.example"}, head=header(kid="nobody")))

# ---- key sets that hold the key, but not for this ----

bad.case("key_for_encryption", "E_KEY_UNKNOWN", TOKEN, keys=key_set(KEY.jwk(use="enc"), OTHER.jwk()))
bad.case("key_of_other_alg", "E_KEY_UNKNOWN", TOKEN, keys=key_set(KEY.jwk(alg="ES256"), OTHER.jwk()))
bad.case("key_of_other_curve", "E_KEY_UNKNOWN", TOKEN,
         keys=key_set(KEY.jwk(crv="X25519"), OTHER.jwk()))
bad.case("key_is_rsa", "E_KEY_UNKNOWN", TOKEN, keys=key_set(
    {"kty": "RSA", "kid": KEY.kid, "n": KEY.x, "e": "AQAB"}, OTHER.jwk()))
bad.case("key_is_oct", "E_KEY_UNKNOWN", TOKEN, keys=key_set(
    {"kty": "oct", "kid": KEY.kid, "k": KEY.x}, OTHER.jwk()))
bad.case("key_without_kid", "E_KEY_UNKNOWN", TOKEN, keys=key_set(KEY.jwk(kid=...), OTHER.jwk()))
bad.case("key_ops_sign_only", "E_KEY_UNKNOWN", TOKEN,
         keys=key_set(KEY.jwk(key_ops=["sign"]), OTHER.jwk()))
bad.case("key_replaced_under_its_kid", "E_SIGNATURE", TOKEN, keys=key_set(KEY.jwk(x=OTHER.x)))

# ---- time ----

bad.case("expired", "E_EXPIRED", TOKEN, now="%d\n" % (NOW + 290 + 31))
bad.case("expired_long_ago", "E_EXPIRED", TOKEN, now="%d\n" % (NOW + 10**9))
bad.case("exp_zero", "E_EXPIRED", token({**claims(), "iat": 0, "nbf": 0, "exp": 0}))
bad.case("expired_and_bad_audience", "E_EXPIRED",
         token({**claims(), "exp": NOW - 60, "aud": "https://other.example"}))
bad.case("expired_and_bad_claims", "E_EXPIRED",
         token({"iss": ISSUER, "iat": 1, "nbf": 1, "exp": 2}))
bad.case("not_yet_valid", "E_NOT_YET_VALID", TOKEN, now="%d\n" % (NOW - 10 - 31))
bad.case("nbf_in_the_future", "E_NOT_YET_VALID", token({**claims(), "nbf": NOW + 60}))
bad.case("iat_in_the_future", "E_NOT_YET_VALID", token({**claims(), "iat": NOW + 60}))
for name in ("exp", "nbf", "iat"):
    claim(name + "_missing", name, ...)
    claim(name + "_null", name, None)
    claim(name + "_string", name, str(claims()[name]))
    claim(name + "_true", name, True)
    bad.case(name + "_float", "E_CLAIMS", raw_claim(name, "%d.0" % claims()[name]), name)
claim("exp_array", "exp", [NOW + 290])
claim("exp_negative", "exp", -1)
claim("iat_negative", "iat", -1)
claim("exp_in_milliseconds", "exp", (NOW + 290) * 1000)
for name, text in (("exponent", "1.7637e9"), ("capital_exponent", "17637E5"),
                   ("fraction", "1763700290.5"), ("huge_exponent", "1e400"),
                   ("minus_zero", "-0"), ("int64_and_one", "9223372036854775808"),
                   ("two_to_64", "18446744073709551616"), ("two_to_64_and_now", "%d" % (2**64 + NOW)),
                   ("thousand_digits", "1" + "0" * 999), ("int64_min", "-9223372036854775808")):
    bad.case("exp_" + name, "E_CLAIMS", raw_claim("exp", text), "exp")
bad.case("exp_before_iat", "E_CLAIMS",
         token({**claims(), "iat": NOW, "nbf": NOW, "exp": NOW - 10}), "exp")
bad.case("exp_is_iat", "E_CLAIMS", token({**claims(), "iat": NOW, "nbf": NOW, "exp": NOW}), "exp")
bad.case("exp_is_nbf", "E_CLAIMS", token({**claims(), "nbf": NOW + 20, "exp": NOW + 20}), "exp")

# ---- audience ----

for name, value in (("missing", ...), ("null", None), ("number", 1), ("true", True),
                    ("object", {"a": AUDIENCE}), ("empty", ""), ("array_empty", []),
                    ("array_with_number", [AUDIENCE, 1]), ("array_with_null", [None, AUDIENCE]),
                    ("array_in_array", [[AUDIENCE]]), ("array_with_empty", [AUDIENCE, ""]),
                    ("array_of_9", [AUDIENCE] + ["https://%d.example" % i for i in range(8)])):
    claim("aud_" + name, "aud", value)
claim("aud_two_without_cnf", "aud", [AUDIENCE, "https://other.example"], "aud: more than one")
for name, value in (
        ("other", "https://other.example"), ("trailing_slash", AUDIENCE + "/"),
        ("other_case", AUDIENCE.upper()), ("longer", AUDIENCE + ".evil.example"),
        ("shorter", AUDIENCE[:-1]), ("http", "http://mcp.example.com"),
        ("list_in_a_string", AUDIENCE + " https://other.example"),
        ("star", "*"), ("array_of_others", ["https://a.example"])):
    bad.case("aud_" + name, "E_AUDIENCE", token(change(claims(), "aud", value)))
bad.case("aud_wrong_and_bad_claims", "E_AUDIENCE", token(change(change(
    claims(), "aud", "https://other.example"), "jti", 1)))

# ---- sub ----

for name, value in (
        ("missing", ...), ("null", None), ("number", 1), ("empty", ""),
        ("no_spiffe_id", "claude-sonnet-4"), ("https", "https://ai.example.com/model/claude-sonnet-4"),
        ("capital_scheme", "SPIFFE://ai.example.com/model/claude-sonnet-4"),
        ("no_trust_domain", "spiffe:///model/claude-sonnet-4"),
        ("capital_trust_domain", "spiffe://AI.example.com/model/claude-sonnet-4"),
        ("port", "spiffe://ai.example.com:443/model/claude-sonnet-4"),
        ("user", "spiffe://u@ai.example.com/model/claude-sonnet-4"),
        ("long_trust_domain", "spiffe://" + "d" * 256 + "/model/claude-sonnet-4"),
        ("other_kind", "spiffe://ai.example.com/tool/claude-sonnet-4"),
        ("no_name", "spiffe://ai.example.com/model/"),
        ("trailing_slash", "spiffe://ai.example.com/model/claude-sonnet-4/"),
        ("longer_path", "spiffe://ai.example.com/model/x/claude-sonnet-4"),
        ("empty_segment", "spiffe://ai.example.com//model/claude-sonnet-4"),
        ("dot_segment", "spiffe://ai.example.com/model/./claude-sonnet-4"),
        ("dot_dot", "spiffe://ai.example.com/model/.."),
        ("query", "spiffe://ai.example.com/model/claude-sonnet-4?x"),
        ("fragment", "spiffe://ai.example.com/model/claude-sonnet-4#x"),
        ("percent", "spiffe://ai.example.com/model/claude%2Dsonnet-4"),
        ("space", "spiffe://ai.example.com/model/claude-sonnet-4 "),
        ("unicode", "spiffe://ai.example.com/model/cl\u0430ude-sonnet-4"),
        ("other_model", "spiffe://ai.example.com/model/claude-opus-4"),
        ("other_case", "spiffe://ai.example.com/model/Claude-Sonnet-4"),
        ("agent_for_provider", "spiffe://ai.example.com/agent/claude-sonnet-4")):
    claim("sub_" + name, "sub", value)
claim("sub_model_version_at_odds", "agent_identity.model_version", "claude-opus-4", "sub")
claim("sub_unmapped_model_name", "agent_identity.model_version", "claude/sonnet 4", "sub")
claim("sub_model_for_enterprise", "sub", "spiffe://ai.example.com/model/claude-sonnet-4",
      base=enterprise())
claim("sub_other_workload", "sub", "spiffe://ai.example.com/agent/billing-8", base=enterprise())
claim("sub_workload_at_odds", "agent_identity.enterprise.workload_id", "root", "sub",
      base=enterprise())

# ---- jti ----

for name, value in (
        ("missing", ...), ("null", None), ("number", 1), ("empty", ""), ("text", "x" * 36),
        ("version_1", "f47ac10b-58cc-1372-a567-0e02b2c3d479"),
        ("version_7", "0190163d-8694-739b-aea5-966c26f8ad91"),
        ("nil", "00000000-0000-0000-0000-000000000000"),
        ("other_variant", "f47ac10b-58cc-4372-c567-0e02b2c3d479"),
        ("upper_case", "F47AC10B-58CC-4372-A567-0E02B2C3D479"),
        ("no_dashes", "f47ac10b58cc4372a5670e02b2c3d479"),
        ("braces", "{f47ac10b-58cc-4372-a567-0e02b2c3d479}"),
        ("urn", "urn:uuid:f47ac10b-58cc-4372-a567-0e02b2c3d479"),
        ("short", "f47ac10b-58cc-4372-a567-0e02b2c3d47"),
        ("space", "f47ac10b-58cc-4372-a567-0e02b2c3d479 "),
        ("array", ["f47ac10b-58cc-4372-a567-0e02b2c3d479"])):
    claim("jti_" + name, "jti", value)

# ---- agent_identity ----

for name, value in (("missing", ...), ("null", None), ("string", "claude"), ("array", []),
                    ("empty", {})):
    claim("identity_" + name, "agent_identity", value)
for member in ("model_family", "model_version", "provider"):
    for name, value in (("missing", ...), ("null", None), ("number", 4), ("empty", ""),
                        ("array", ["x"]), ("control", "a\u0007b")):
        claim("%s_%s" % (member, name), "agent_identity." + member, value)
claim("deployment_id_null", "agent_identity.deployment_id", None)
claim("deployment_id_number", "agent_identity.deployment_id", 1)
for name, value in (("null", None), ("true", True), ("string", "acme"), ("array", []),
                    ("empty", {})):
    claim("enterprise_" + name, "agent_identity.enterprise", value, base=enterprise())
for member in ("org_id", "workload_id", "deployment_env"):
    claim(member + "_missing", "agent_identity.enterprise." + member, ..., base=enterprise())
    claim(member + "_number", "agent_identity.enterprise." + member, 1, base=enterprise())
claim("enterprise_type_for_provider", "attestation_metadata.attestation_type", "enterprise")
claim("provider_type_for_enterprise", "attestation_metadata.attestation_type", "provider",
      base=enterprise())
claim("enterprise_left_out", "agent_identity.enterprise", ..., "sub", base=enterprise())

# ---- agent_integrity ----

for name, value in (("null", None), ("string", "sha256:" + "0" * 64), ("array", [])):
    claim("integrity_" + name, "agent_integrity", value)
for name, value in (
        ("null", None), ("number", 0), ("empty", ""), ("no_prefix", "0" * 64),
        ("upper_case", "sha256:" + "A" * 64), ("short", "sha256:" + "0" * 63),
        ("long", "sha256:" + "0" * 65), ("not_hex", "sha256:" + "g" * 64),
        ("sha512", "sha512:" + "0" * 128), ("prefix_upper_case", "SHA256:" + "0" * 64),
        ("base64", "sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")):
    claim("config_hash_" + name, "agent_integrity", {"config_hash": value},
          "agent_integrity.config_hash")
claim("system_prompt_hash_short", "agent_integrity", {"system_prompt_hash": "sha256:00"},
      "agent_integrity.system_prompt_hash")

# ---- attestation_metadata ----

M = "attestation_metadata."
for name, value in (("missing", ...), ("null", None), ("string", "x"), ("array", [])):
    claim("metadata_" + name, "attestation_metadata", value)
for name, value in (("missing", ...), ("number", 0.1), ("newer", "0.2.0"), ("shorter", "0.1"),
                    ("v", "v0.1.0"), ("null", None)):
    claim("version_" + name, M + "attestation_version", value)
for name, value in (("missing", ...), ("null", None), ("other", "self"), ("capital", "Provider"),
                    ("number", 1), ("array", ["provider"])):
    claim("type_" + name, M + "attestation_type", value)
for name, value in (("missing", ...), ("null", None), ("other", "maximum"), ("number", 3),
                    ("capital", "Standard"), ("minimal_for_provider", "minimal")):
    claim("safety_" + name, M + "safety_level", value)
for name, value in (("missing", ...), ("null", None), ("string", "tools"), ("object", {}),
                    ("with_number", ["tools", 1]), ("with_empty", [""]), ("nested", [["tools"]])):
    claim("capabilities_" + name, M + "capabilities_declared", value)
for name, value in (("null", None), ("object", {}), ("empty", ""), ("two_parts", "a.b"),
                    ("four_parts", "a.b.c.d"), ("empty_part", "a..c"), ("padded", "a.b.cc=="),
                    ("space", "a.b.c "), ("text", "trust me")):
    claim("nested_attestation_" + name, M + "nested_attestation", value)

INNER = change(claims(), "aud", ISSUER)
for name, inner in (
        ("other_audience", claims()), ("several_audiences", change(INNER, "aud", [ISSUER, AUDIENCE])),
        ("other_model", change(change(INNER, "agent_identity.model_version", "m"), "sub",
                               "spiffe://ai.example.com/model/m")),
        ("other_provider", change(INNER, "agent_identity.provider", "other")),
        ("deployment", change(INNER, "agent_identity.deployment_id", "d")),
        ("enterprise", change(enterprise(), "aud", ISSUER)),
        ("bound", change(INNER, "cnf", AGENT.cnf())),
        ("ends_earlier", change(INNER, "exp", NOW + 289)), ("expired", change(INNER, "exp", NOW - 60)),
        ("lives_too_long", change(INNER, "exp", NOW + 891)), ("bad_jti", change(INNER, "jti", 1))):
    bad.case("nested_" + name, "E_CLAIMS", nesting(inner), "nested_attestation")
bad.case("nested_by_another_key", "E_CLAIMS", nesting(key=OTHER), "nested_attestation")
bad.case("nested_alg_none", "E_CLAIMS", nesting(head=header(alg="none")), "nested_attestation")
bad.case("nested_other_cnf", "E_CLAIMS", nesting(
    change(INNER, "cnf", OTHER.cnf()), change(claims(), "cnf", AGENT.cnf())), "nested_attestation")

# ---- cnf ----

for name, value in (
        ("null", None), ("string", AGENT.x), ("array", [AGENT.cnf()]), ("empty", {}),
        ("jwk_null", {"jwk": None}), ("jwk_string", {"jwk": AGENT.x}),
        ("kid_only", {"kid": KEY.kid}), ("jkt_only", {"jkt": AGENT.kid}),
        ("no_kty", AGENT.cnf(kty=...)), ("kty_ec", AGENT.cnf(kty="EC")),
        ("no_crv", AGENT.cnf(crv=...)), ("crv_x25519", AGENT.cnf(crv="X25519")),
        ("no_x", AGENT.cnf(x=...)), ("x_number", AGENT.cnf(x=1)),
        ("x_short", AGENT.cnf(x=b64u(AGENT.public[:31]))),
        ("x_long", AGENT.cnf(x=b64u(AGENT.public + b"\0"))),
        ("x_padded", AGENT.cnf(x=AGENT.x + "=")),
        ("x_trailing_bits", AGENT.cnf(x=next_character(AGENT.x.encode()).decode())),
        ("private", AGENT.cnf(d=b64u(AGENT.seed))), ("x_zero", AGENT.cnf(x=b64u(bytes(32)))),
        ("x_identity", AGENT.cnf(x=b64u(LOW_ORDER["identity"]))),
        ("x_not_canonical", AGENT.cnf(x=b64u((P + 3).to_bytes(32, "little")))),
        ("x_not_on_curve", AGENT.cnf(x=b64u((2).to_bytes(32, "little"))))):
    claim("cnf_" + name, "cnf", value)

# ---- policy that holds for every issuer ----

bad.case("lifetime_901_s", "E_POLICY", token({**claims(), "exp": NOW - 10 + 901}))
bad.case("lifetime_ten_years", "E_POLICY", token({**claims(), "exp": NOW + 10 * 365 * 86400}))

bad.case("trust_domain_of_others", "E_POLICY", TOKEN, trust_domain="other.example\n")
bad.case("trust_domain_below", "E_POLICY", TOKEN, trust_domain="example.com\n")
bad.case("provider_of_others", "E_POLICY", TOKEN, provider="openai\n")
bad.case("provider_other_case", "E_POLICY", TOKEN, provider="Anthropic\n")

# ---- key sets ----


def keys(name, text, expect="E_MALFORMED", says=None):
    bad.case("jwks_" + name, expect, text, says, kind="keyset\n")


GOOD = key_set(KEY.jwk())
keys("empty", "")
keys("not_json", "keys")
keys("null", "null", says="JSON")
keys("array", "[" + dumps(KEY.jwk()) + "]", says="'keys'")
keys("single_key", dumps(KEY.jwk()), says="'keys'")
keys("empty_object", "{}", says="'keys'")
keys("keys_null", '{"keys":null}', says="'keys'")
keys("keys_object", '{"keys":{"a":%s}}' % dumps(KEY.jwk()), says="'keys'")
keys("keys_string", '{"keys":"%s"}' % KEY.x, says="'keys'")
keys("no_keys", '{"keys":[]}', "E_NOT_FOUND")
keys("capital_keys", '{"Keys":[%s]}' % dumps(KEY.jwk()), says="'keys'")
keys("keys_twice", '{"keys":[%s],"keys":[%s]}' % (dumps(KEY.jwk()), dumps(OTHER.jwk())))
keys("keys_twice_escaped", '{"keys":[%s],"\\u006beys":[%s]}' % (
    dumps(KEY.jwk()), dumps(OTHER.jwk())))
keys("key_null", key_set(KEY.jwk(), None), says="no object")
keys("key_string", key_set(KEY.jwk(), KEY.x), says="no object")
keys("key_array", key_set([KEY.jwk()]), says="no object")
keys("kid_twice", key_set(KEY.jwk(), OTHER.jwk(kid=KEY.kid)), says="twice")
keys("kid_twice_same_key", key_set(KEY.jwk(), KEY.jwk()), says="twice")
keys("kid_twice_escaped", key_set(KEY.jwk(kid="a"), OTHER.jwk(kid="@")).replace('"@"', '"\\u0061"'),
     says="twice")
keys("kid_twice_on_other_kind", key_set(
    KEY.jwk(), {"kty": "RSA", "kid": KEY.kid, "n": "AQAB", "e": "AQAB"}), says="twice")
keys("kid_number", key_set(KEY.jwk(kid=1)), says="no string")
keys("kid_null", key_set(KEY.jwk(kid=None)), says="no string")
keys("kid_empty", key_set(KEY.jwk(kid="")), says="kid")
keys("kid_257_bytes", key_set(KEY.jwk(kid="k" * 257)), says="kid")
keys("private", key_set(KEY.jwk(d=b64u(KEY.seed))), says="private")
keys("private_beside", key_set(KEY.jwk(), OTHER.jwk(d=b64u(OTHER.seed))), says="private")
keys("private_rsa_beside", key_set(KEY.jwk(), {"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB"}),
     says="private")
keys("private_null", key_set(KEY.jwk(d=None)), says="private")
for name, x in (
        ("missing", ...), ("null", None), ("number", 1), ("empty", ""),
        ("31_bytes", b64u(KEY.public[:31])), ("33_bytes", b64u(KEY.public + b"\0")),
        ("hex", KEY.public.hex()), ("padded", KEY.x + "="),
        ("trailing_bits", next_character(KEY.x.encode()).decode()),
        ("standard_alphabet", KEY.x.replace("_", "/")), ("space", " " + KEY.x),
        ("with_prefix", b64u(b"\x04\x20" + KEY.public)), ("ff", b64u(b"\xff" * 32)),
        ("not_on_curve", b64u((2).to_bytes(32, "little"))),
        ("not_canonical", b64u((P + 3).to_bytes(32, "little")))):
    keys("x_" + name, key_set(KEY.jwk(x=x), OTHER.jwk()), says="x of key 0")
for name, point in LOW_ORDER.items():
    keys("x_" + (name if "order" in name else "point_" + name),
         key_set(OTHER.jwk(), KEY.jwk(x=b64u(point))), says="x of key 1")
# Key and a point of order 2 added: on the curve and canonical, but outside the prime-order group.
torsion = (P - int.from_bytes(KEY.public, "little") % 2**255) | (
    (KEY.public[31] >> 7 ^ 1) << 255)
keys("x_outside_prime_order_group", key_set(KEY.jwk(x=b64u(torsion.to_bytes(32, "little")))),
     says="x of key 0")
keys("x_twice", GOOD.replace('"use"', '"x":"%s","use"' % OTHER.x))
keys("x_twice_escaped", GOOD.replace('"use"', '"\\u0078":"%s","use"' % OTHER.x))
for name, changes in (
        ("rsa", {"kty": "RSA"}), ("kty_small", {"kty": "okp"}), ("kty_missing", {"kty": ...}),
        ("kty_array", {"kty": ["OKP"]}), ("x25519", {"crv": "X25519"}), ("ed448", {"crv": "Ed448"}),
        ("crv_missing", {"crv": ...}), ("enc", {"use": "enc"}), ("use_null", {"use": None}),
        ("use_number", {"use": 1}), ("alg_HS256", {"alg": "HS256"}), ("alg_none", {"alg": "none"}),
        ("alg_null", {"alg": None}), ("alg_array", {"alg": ["EdDSA"]}), ("no_kid", {"kid": ...}),
        ("key_ops_empty", {"key_ops": []}), ("key_ops_sign", {"key_ops": ["sign"]}),
        ("key_ops_string", {"key_ops": "verify"})):
    keys("only_" + name, key_set(KEY.jwk(**changes)), "E_NOT_FOUND", "no Ed25519 signature key")
keys("too_large", GOOD + " " * (65537 - len(GOOD)), "E_LIMIT")
keys("deep", '{"keys":[%s],"x":%s%s}' % (dumps(KEY.jwk()), "[" * 16, "]" * 16), says="nested")
keys("very_deep", '{"keys":' + "[" * 30000 + "]" * 30000 + "}", says="nested")
keys("unclosed_deep", '{"keys":' + '[{"a":' * 10000, says="nested")
keys("bytes_behind", GOOD + "x")
keys("two_sets", GOOD + GOOD)
keys("cut_off", GOOD[:-1])
keys("bom", b"\xef\xbb\xbf" + GOOD.encode())
keys("bad_utf8", GOOD.replace(KEY.kid, "@").encode().replace(b"@", b"\xff"))
keys("nul_escaped", GOOD.replace(KEY.kid, "a\\u0000b"))
keys("nul_behind", GOOD + "\0", says="NUL")
keys("nul_behind_number", GOOD[:-1] + ',"n":1\0}', says="NUL")
keys("nul_behind_word", GOOD[:-1] + ',"n":null\0}', says="NUL")
keys("trailing_comma", GOOD.replace("]", ",]"))
keys("comment", GOOD.replace("[", "[/**/"))
keys("html", "<!DOCTYPE html><title>404</title>")
keys("token_instead", TOKEN)

print("%d hostile, %d valid" % (len(bad.names), len(good.names)))
