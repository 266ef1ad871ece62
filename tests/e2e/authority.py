"""Certificates for tests, in a directory of their own: an authority's, and what it signs."""
import hashlib
import os
import shutil
import ssl
import subprocess
import tempfile


class Authority:
    def __init__(self, prefix="relais-ca-"):
        self.directory = tempfile.mkdtemp(prefix=prefix, dir="/tmp")
        os.chmod(self.directory, 0o755)  # the programs, which run as somebody else, read certificates here
        self.keys = {}  # name of a certificate → SHA-256 of its public key

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return f"{self.directory}/{name}.crt"

    def openssl(self, *arguments):
        return subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.directory).stdout

    def certificate(self, name, *alts, issuer=None):
        """A server's context with a new certificate, signed by `issuer` or itself; it has no name beside /CN=NAME where there are no `alts`."""
        by = ["-CA", issuer + ".crt", "-CAkey", issuer + ".key"] if issuer else ["-signkey", name + ".key"]
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name, "-keyout", name + ".key",
                     "-out", name + ".csr")
        with open(f"{self.directory}/{name}.ext", "w") as f:
            f.write(f"basicConstraints=critical,CA:{'FALSE' if issuer else 'TRUE'}\n")
            if alts:
                f.write("subjectAltName=" + ",".join("DNS:" + alt for alt in alts) + "\n")
        self.openssl("x509", "-req", "-in", name + ".csr", *by, "-set_serial", str(len(self.keys) + 1), "-days", "30", "-extfile", name + ".ext",
                     "-out", name + ".crt")
        self.keys[name] = hashlib.sha256(self.openssl("pkey", "-in", name + ".key", "-pubout", "-outform", "DER")).digest()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with open(f"{self.directory}/{name}.pem", "w") as out:
            for part in (name, issuer) if issuer else (name,):
                with open(self.path(part)) as f:
                    out.write(f.read())
        context.load_cert_chain(f"{self.directory}/{name}.pem", f"{self.directory}/{name}.key")
        return context
