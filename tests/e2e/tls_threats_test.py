"""Certificates wrong in each way, and TLS that does not come about: where the relay must have TLS, no message goes there, none is lost, and
the log says why. One right certificate shows that the others fail for the reason that is meant."""
import os
import shutil
import smtplib
import ssl
import subprocess
import tempfile
import time

from chain import equal, has, run, wait_until
from sink import Sink

DIRECTORY = None
SINKS = {}
WRONG = ("expired", "not-yet", "other-name", "self-signed", "unknown-ca", "for-clients", "no-ca", "weak", "old-tls", "not-offered", "refused",
         "garbage", "stalls")


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=DIRECTORY)


def certificate(name, issuer, subject="sink", alt="IP:127.0.0.1", usage="serverAuth", ca=False, dates=(), key="ec"):
    """NAME.pem with its key and chain; `issuer` None: self-signed."""
    with open(f"{DIRECTORY}/{name}.ext", "w") as f:
        f.write(f"basicConstraints=critical,CA:{'TRUE' if ca else 'FALSE'}\n")
        f.write("keyUsage=critical,keyCertSign,cRLSign\n" if ca else f"extendedKeyUsage={usage}\nsubjectAltName={alt}\n")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if key == "ec" else ["-newkey", key]
    openssl("req", *new, "-nodes", "-subj", f"/CN={subject}", "-keyout", name + ".key", "-out", name + ".csr")
    if dates:  # openssl x509 knows only days from now on: `ca` takes dates
        for file, text in (("index.txt", ""), ("serial", "01\n")):
            with open(f"{DIRECTORY}/{name}.{file}", "w") as f:
                f.write(text)
        with open(f"{DIRECTORY}/{name}.cnf", "w") as f:
            f.write(f"[ca]\ndefault_ca=c\n[c]\ndatabase={name}.index.txt\nserial={name}.serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
                    "[p]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-config", name + ".cnf", "-in", name + ".csr", "-out", name + ".crt", "-cert", issuer + ".crt", "-keyfile",
                issuer + ".key", "-extfile", name + ".ext", "-startdate", dates[0], "-enddate", dates[1], "-notext")
    else:
        by = ["-signkey", name + ".key"] if issuer is None else ["-CA", issuer + ".crt", "-CAkey", issuer + ".key", "-set_serial", str(len(os.listdir(DIRECTORY)))]
        openssl("x509", "-req", "-in", name + ".csr", *by, "-days", "30", "-extfile", name + ".ext", "-out", name + ".crt")
    with open(f"{DIRECTORY}/{name}.pem", "w") as out:
        for part in (name, issuer) if issuer else (name,):
            with open(f"{DIRECTORY}/{part}.crt") as f:
                out.write(f.read())


def context(name, level=None, versions=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if level is not None:
        made.set_ciphers(f"ALL:@SECLEVEL={level}")
    if versions:
        made.minimum_version, made.maximum_version = versions
    made.load_cert_chain(f"{DIRECTORY}/{name}.pem", f"{DIRECTORY}/{name}.key")
    return made


def talks_nonsense(connection):
    connection.sendall(b"220 go\r\n" + b"this is no handshake\r\n" * 20)
    raise OSError("nonsense")


def stalls(connection):
    connection.sendall(b"220 go\r\n")
    time.sleep(4)
    raise OSError("stalled")


def on_starttls(reply):
    return lambda verb, line: reply if verb == "STARTTLS" else None


def setup():
    global DIRECTORY
    DIRECTORY = tempfile.mkdtemp(prefix="relais-tls-", dir="/tmp")
    os.chmod(DIRECTORY, 0o755)
    certificate("ca", None, "Test CA", ca=True)
    certificate("other-ca", None, "Other CA", ca=True)
    certificate("right", "ca")
    certificate("expired", "ca", dates=("20200101000000Z", "20210101000000Z"))
    certificate("not-yet", "ca", dates=("20900101000000Z", "20910101000000Z"))
    certificate("other-name", "ca", alt="DNS:other.example,IP:192.0.2.1")
    certificate("self-signed", None)
    certificate("unknown-ca", "other-ca")
    certificate("for-clients", "ca", usage="clientAuth")
    certificate("no-ca", "right")  # signed by a certificate that may not sign
    certificate("weak", "ca", key="rsa:1024")
    with open(DIRECTORY + "/no-ca.pem", "a") as out, open(DIRECTORY + "/ca.crt") as f:
        out.write(f.read())
    for name in ("right", "expired", "not-yet", "other-name", "self-signed", "unknown-ca", "for-clients", "no-ca"):
        SINKS[name] = Sink(tls=context(name))
    SINKS["weak"] = Sink(tls=context("weak", level=0))
    SINKS["old-tls"] = Sink(tls=context("right", 0, (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)))
    SINKS["not-offered"] = Sink()
    SINKS["refused"] = Sink(tls=context("right"), script=on_starttls(b"454 4.7.0 not now\r\n"))
    SINKS["garbage"] = Sink(tls=context("right"), script=on_starttls(talks_nonsense))
    SINKS["stalls"] = Sink(tls=context("right"), script=on_starttls(stalls))
    return {"routes": [f"{name}.example={sink.address}" for name, sink in SINKS.items()],
            "extra": f'[tls]\nca_file = "{DIRECTORY}/ca.crt"\n[relay]\ntls = "required"\nretry_first = "1h"\ncommand_timeout = "2s"\n'}


def teardown():
    for sink in SINKS.values():
        sink.close()
    if DIRECTORY:
        shutil.rmtree(DIRECTORY, ignore_errors=True)


def test_no_message_over_tls_that_cannot_be_trusted(chain):
    # The chain's own listeners have a certificate of its CA; the relay trusts ours.
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP_SSL(chain["MAIL_HOST"], chain.port("SUBMISSIONS"), timeout=20, context=client) as s:
        s.login(chain["USER1"], chain["PASS1"])
        for name in (*WRONG, "right"):
            s.sendmail(chain.address(1), [f"x@{name}.example"], f"From: {chain.address(1)}\r\nSubject: secret for {name}\r\n\r\nx\r\n")
    wait_until(lambda: SINKS["right"].find(b"secret for right"), "the message over right TLS")

    def queue():
        return chain.run([chain["BIN_DIR"] + "/mta", "-c", chain["CONFIG"], "queue", "list"], env={"RELAIS_CONFIG": chain["CONFIG"]})

    def log():
        path = chain.directory + "/log/relais.log"
        with open(path if os.path.exists(path) else chain.directory + "/data/log/relais.log", errors="replace") as f:
            return f.read()
    def failure(name):
        return any(f"event=destination-deferred destination={SINKS[name].address} " in line and 'reply="451 4.' in line for line in log().splitlines())
    wait_until(lambda: all(failure(name) for name in WRONG), "a failure of each", 15)
    for name in WRONG:
        equal(SINKS[name].messages, [], name)
        assert not any(line.upper().startswith(("MAIL", "AUTH")) for line in SINKS[name].lines), (name, SINKS[name].lines)
    listed = queue()
    for name in WRONG:
        has(listed, f"x@{name}.example")


run(globals())
