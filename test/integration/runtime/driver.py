"""runtime_docker and the probes in a program of their own (driver.c), spoken to by lines."""
import json
import subprocess
import threading


class Driver:
    def __init__(self, program, conf):
        self.process = subprocess.Popen([program, conf], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.key, self.answers, self.hints, self.log = 0, {}, [], []
        self.news = threading.Condition()
        self.readers = [threading.Thread(target=self._read_answers), threading.Thread(target=self._read_log)]
        for t in self.readers:
            t.start()

    def _read_answers(self):
        for line in self.process.stdout:
            message = json.loads(line)
            with self.news:
                if "hint" in message:
                    self.hints.append(message)
                else:
                    self.answers[message["re"]] = message
                self.news.notify_all()

    def _read_log(self):
        for line in self.process.stderr:
            with self.news:
                self.log.append(line)
                self.news.notify_all()

    def send(self, command, *args):
        self.key += 1
        self.process.stdin.write(" ".join([command, str(self.key), *map(str, args)]) + "\n")
        self.process.stdin.flush()
        return self.key

    def wait(self, key, timeout=60):
        with self.news:
            if not self.news.wait_for(lambda: key in self.answers, timeout):
                raise AssertionError(f"no answer within {timeout} s; log:\n{''.join(self.log)}")
            answer = self.answers.pop(key)
        if answer.get("within_call"):
            raise AssertionError(f"done was called from within the call: {answer}")
        return answer

    def ask(self, command, *args, timeout=60):
        return self.wait(self.send(command, *args), timeout)

    def wait_hint(self, timeout=10, since=0, **want):
        """The first hint from number `since` on whose members are as wanted."""
        def find():
            return next((h for h in self.hints[since:] if all(h[k] == v for k, v in want.items())), None)
        with self.news:
            if not self.news.wait_for(find, timeout):
                raise AssertionError(f"no hint {want} within {timeout} s, but {self.hints[since:]}")
            return find()

    def wait_log(self, text, timeout=10):
        with self.news:
            if not self.news.wait_for(lambda: any(text in line for line in self.log), timeout):
                raise AssertionError(f"no log line '{text}' within {timeout} s:\n{''.join(self.log)}")

    def close(self, timeout=10):
        """End of input, with whatever is outstanding; the exit code."""
        if not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        for t in self.readers:
            t.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return code
