"""The line to the Internet, with a rate."""


class Line:
    """The gateway with what its line carries, and with a data file."""

    def __init__(self, gateway, mbit):
        self.gateway = gateway
        self.mbit = mbit
        self.firmware = {name: gateway.read(f"/etc/hearth/{name}") for name in ("gateway.toml", "queues.toml")}

    def restart(self):
        """Lets hearth-netpath read its files again."""
        # Asked again soon, PID 1 lets it wait a little: the command says so by its status.
        self.gateway.run("dmesg -c >/dev/null; hearth restart hearth-netpath", 60)
        self.gateway.wait("a WAN address", 90, lambda: "wan: address" in self.gateway.check("dmesg"))

    def set(self, change=lambda text: text):
        """Says what it carries. What was said about the queues."""
        rates = f'[wan]\nupload = "{self.mbit} Mbit/s"\ndownload = "{self.mbit} Mbit/s"'
        self.gateway.write("/data/hearth/gateway.toml", self.firmware["gateway.toml"].replace("[wan]", rates).encode())
        self.gateway.write("/data/hearth/queues.toml", change(self.firmware["queues.toml"]).encode())
        self.restart()
        return self.gateway.check("dmesg | grep queues")

    def as_before(self):
        """Takes it back."""
        self.gateway.check("rm -f /data/hearth/gateway.toml /data/hearth/queues.toml")
        self.restart()
