"""A program that is killed and started again, as an init would."""
import os
import signal
import subprocess


class Victim:
    """`command` runs from now on; its output is appended to the file `output`."""

    def __init__(self, name, command, output):
        self.name, self.command = name, command
        self.log = open(output, "ab")
        self.kills = 0
        self.early = 0
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)

    def kill(self):
        if self.process.poll() is not None:
            self.early += 1  # it ended by itself: a crash, or a port that was still taken
            self.log.write(f"{self.name} had ended with {self.process.returncode}\n".encode())
        else:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.kills += 1
        self.process.wait()
        self.start()

    def keep(self):
        if self.process.poll() is not None:
            self.early += 1
            self.start()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def __str__(self):
        return f"{self.name}: killed {self.kills} times, ended by itself {self.early} times"
