"""Certificates for tests, made by openssl(1)."""

import datetime
import pathlib
import subprocess


def openssl(*words, stdin=None):
    return subprocess.run(["openssl", *map(str, words)], check=True,
                          capture_output=True, input=stdin).stdout


class Authority:
    """A CA in a directory of its own."""

    def __init__(self, directory, name="ca"):
        self.dir = pathlib.Path(directory)
        self.name = name
        self.cert = self.dir / f"{name}.pem"
        self.key = self.dir / f"{name}.key"
        self.serial = 1
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key,
                "-out", self.cert, "-days", "2", "-subj", f"/CN={name}")

    def issue(self, name, kind="ec", days=(-1, 2), passphrase=None):
        """(certificate, key) for localhost; days: valid from, until."""
        cert, key = self.dir / f"{name}.pem", self.dir / f"{name}.key"
        if kind == "ec":
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-out", key)
        else:
            openssl("genpkey", "-algorithm", "RSA", "-pkeyopt",
                    "rsa_keygen_bits:2048", "-out", key)
        request = openssl("req", "-new", "-key", key, "-subj", f"/CN={name}")
        now = datetime.datetime.now(datetime.timezone.utc)
        dates = [(now + datetime.timedelta(days=d)).strftime("%Y%m%d%H%M%SZ")
                 for d in days]
        config = self.dir / f"{name}.cnf"
        database = self.dir / f"{self.name}.db"
        if not database.exists():
            database.write_text("")
            (self.dir / f"{self.name}.crlnumber").write_text("01\n")
        (self.dir / f"{name}.serial").write_text(f"{self.serial:04x}\n")
        self.serial += 1
        config.write_text(
            f"[ca]\ndefault_ca = a\n[a]\ndatabase = {database}\n"
            f"serial = {self.dir}/{name}.serial\n"
            f"crlnumber = {self.dir}/{self.name}.crlnumber\n"
            f"new_certs_dir = {self.dir}\ndefault_md = sha256\n"
            f"policy = p\nx509_extensions = x\ndefault_crl_days = 2\n"
            f"unique_subject = no\n"
            f"[p]\ncommonName = supplied\n"
            f"[x]\nsubjectAltName = DNS:localhost,IP:127.0.0.1\n")
        openssl("ca", "-batch", "-notext", "-config", config, "-cert",
                self.cert, "-keyfile", self.key, "-startdate", dates[0],
                "-enddate", dates[1], "-in", "/dev/stdin", "-out", cert,
                stdin=request)
        if passphrase:
            openssl("pkcs8", "-topk8", "-in", key, "-out", f"{key}.p",
                    "-passout", f"pass:{passphrase}")
            pathlib.Path(f"{key}.p").replace(key)
        key.chmod(0o600)
        return cert, key

    def revoke(self, name):
        """The list of what is revoked, this one too."""
        crl = self.dir / f"{self.name}.crl"
        config = self.dir / f"{name}.cnf"
        common = ("-config", config, "-cert", self.cert, "-keyfile", self.key)
        openssl("ca", *common, "-revoke", self.dir / f"{name}.pem")
        openssl("ca", *common, "-gencrl", "-out", crl)
        return crl


def fingerprint(cert):
    """"SHA256:" and the hash of a certificate."""
    text = openssl("x509", "-in", cert, "-noout", "-fingerprint", "-sha256")
    return "SHA256:" + text.decode().split("=")[1].strip().replace(":", "")
