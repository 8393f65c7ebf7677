"""A shop that asks for money: signs what it sends and checks what it gets, written apart from the simulator's own code."""

import base64
import json
import urllib.parse

import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509 import load_pem_x509_certificate

from tests.wechat_simulator.conftest import MINI

MCHID = "1900000001"
API_V3_KEY = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
# The throw-away key of the reference's test vectors (pay reference, section 6).
P = int(
    "e69c31f443d4e3ee83022dfe45d4d8e056f937ab3c624524dc2a98d7c26482c1485c05714888059140e82f398c8a08a882be520e8e6dfedf9ce7fdae69b1848d"
    "c2d9cb48ad2fa2c280bf0ac8dc06f7d9551e3eeb7728a49fdbfdf3c6416340bf2992e56bba784117628f76cc9fc8864c59c851916569606f0026d0061cc7da43",
    16,
)
Q = int(
    "d1dd8638086ffb4f403ffaca03b46804df8342841fa2b8d75ccc360fc90b5ee3a3736210e9abcf943c4a2eed6bfe9e2ea39455fbf8c76411680a645e1173d018"
    "dc74e244a1a3fe9e6ecf90c66d8a545c0b882ad2715d222c26d630e930ea589308382325d65a1f475f352666a299f457239c061fea2ff1c9dbb832a7f04b2d83",
    16,
)


def key_from_primes(p, q, e=65537):
    d = pow(e, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    exponents = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *exponents, public).private_key()


REFERENCE_KEY = key_from_primes(P, Q)


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


REFERENCE_PEM = pem(REFERENCE_KEY)


def sign(key, *lines):
    message = b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)
    return base64.b64encode(key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()


class Forged(Exception):
    """An answer or a notification is not WeChat Pay's."""


class Shop:
    """One merchant's own program."""

    def __init__(self, simulator, mchid=MCHID, appid=MINI, **world):
        self.simulator = simulator
        self.mchid, self.appid = mchid, appid
        spec = {"mchid": mchid, "name": "澜屿商城", "appids": [appid], "api_v3_key": API_V3_KEY, **world}
        if mchid == MCHID:
            spec.setdefault("private_key", REFERENCE_PEM)
        made = simulator.control("/world", {"merchants": [spec]})["merchants"][0]
        self.account = made
        self.key = serialization.load_pem_private_key(made["private_key"].encode(), None)
        self.api_v3_key = made["api_v3_key"]
        self.keys = {}
        self.learn()
        self.asked = 0
        self.notify_url = "https://pay.example.com/wxpay/notify"

    def learn(self):
        """Hold every key there is."""
        rows = self.simulator.look("/pay/merchants", secrets=1)["merchants"]
        row = next(item for item in rows if item["mchid"] == self.mchid)
        for item in row["platform_certificates"]:
            self.keys[item["serial_no"]] = load_pem_x509_certificate(item["pem"].encode()).public_key()
        if row["public_key_id"]:
            self.keys[row["public_key_id"]] = serialization.load_pem_public_key(row["public_key"].encode())
        return row

    def now(self):
        return self.simulator.look("/clock")["now"]

    def authorization(self, method, url, body, **changes):
        self.asked += 1
        stamp = changes.get("timestamp", str(int(self.now())))
        nonce = changes.get("nonce", f"NONCE{self.asked:027d}")
        proof = changes.get("signature") or sign(changes.get("key", self.key), method, url, stamp, nonce, body)
        mchid, serial = changes.get("mchid", self.mchid), changes.get("serial", self.account["serial_no"])
        scheme = changes.get("scheme", "WECHATPAY2-SHA256-RSA2048")
        return (
            f'{scheme} mchid="{mchid}",nonce_str="{nonce}",timestamp="{stamp}",serial_no="{serial}",signature="{proof}"'
        )

    def raw(self, method, url, body=b"", headers=None, **changes):
        """One signed request; the answer as it came."""
        if isinstance(body, dict):
            body = json.dumps(body, ensure_ascii=False).encode()
        given = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "shop"}
        given["Authorization"] = self.authorization(method, url, body, **changes)
        given |= headers or {}
        sent = changes.get("sent", body)
        with requests.Session() as http:
            http.trust_env = False
            request = requests.Request(method, self.simulator.url, headers=given, data=sent or None).prepare()
            request.url = self.simulator.url + url  # percent-encoding stays as it was signed
            return http.send(request, timeout=30)

    def ask(self, method, url, body=b"", **more):
        """Status and contents; whatever is answered must be signed."""
        answer = self.raw(method, url, body, **more)
        self.check(answer.headers, answer.content)
        return answer.status_code, answer.json() if answer.content else None

    def check(self, headers, body):
        """The four headers over the raw body, not older than five minutes."""
        try:
            stamp, nonce = headers["Wechatpay-Timestamp"], headers["Wechatpay-Nonce"]
            proof, serial = headers["Wechatpay-Signature"], headers["Wechatpay-Serial"]
        except KeyError as error:
            raise Forged("headers") from error
        if not stamp.isdecimal() or abs(self.now() - int(stamp)) >= 300:
            raise Forged("timestamp")
        if serial not in self.keys:
            raise Forged("serial")
        try:
            message = f"{stamp}\n{nonce}\n".encode() + body + b"\n"
            self.keys[serial].verify(base64.b64decode(proof), message, padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError) as error:
            raise Forged("signature") from error
        return serial

    def open(self, request):
        """The contents of a notification; ``Forged`` or the cipher's error otherwise."""
        self.check(request["headers"], request["body"])
        resource = json.loads(request["body"])["resource"]
        assert resource["algorithm"] == "AEAD_AES_256_GCM"
        nonce, sealed = resource["nonce"].encode(), base64.b64decode(resource["ciphertext"])
        plain = AESGCM(self.api_v3_key.encode()).decrypt(nonce, sealed, resource["associated_data"].encode())
        return json.loads(plain)

    # --- what a shop does -----------------------------------------------------------------------------------------

    def openid(self, person="小雨"):
        self.simulator.act(person, "ignore", self.appid, value=False)  # the openid is made at first sight
        return self.simulator.openid(person, self.appid)

    def body(self, number="T20260101000001", total=100, person="小雨", **more):
        return {
            "appid": self.appid,
            "mchid": self.mchid,
            "description": "会员礼盒",
            "out_trade_no": number,
            "notify_url": self.notify_url,
            "amount": {"total": total, "currency": "CNY"},
            "payer": {"openid": self.openid(person)},
            **more,
        }

    def prepay(self, number="T20260101000001", total=100, person="小雨", **more):
        status, answer = self.ask("POST", "/v3/pay/transactions/jsapi", self.body(number, total, person, **more))
        assert status == 200, answer
        return answer["prepay_id"]

    def pay(self, number="T20260101000001", person="小雨", **more):
        return self.simulator.act(person, "pay", self.appid, out_trade_no=number, **more)

    def paid(self, number="T20260101000001", total=100, **more):
        """An order that is paid."""
        self.prepay(number, total, **more)
        return self.pay(number)["order"]

    def pay_now(self, number="T20260101000001"):
        """Prepay and pay; what the act gave."""
        self.prepay(number)
        return self.pay(number)

    def query(self, number="T20260101000001"):
        where = urllib.parse.quote(number, safe="")
        return self.ask("GET", f"/v3/pay/transactions/out-trade-no/{where}?mchid={self.mchid}")

    def close(self, number="T20260101000001"):
        return self.ask("POST", f"/v3/pay/transactions/out-trade-no/{number}/close", {"mchid": self.mchid})

    def refund(self, number="R1", refund=100, total=100, order="T20260101000001", **more):
        amount = {"refund": refund, "total": total, "currency": "CNY"}
        body = {"out_trade_no": order, "out_refund_no": number, "amount": amount, **more}
        return self.ask("POST", "/v3/refund/domestic/refunds", body)

    def advance(self, seconds):
        self.simulator.control("/clock", {"advance": seconds})
        self.simulator.settle()

    def fault(self, kind, **more):
        return self.simulator.control("/faults", {"kind": kind, **more})

    def notes(self, **params):
        return self.simulator.look("/pay/notifications", mchid=self.mchid, **params)["notifications"]
