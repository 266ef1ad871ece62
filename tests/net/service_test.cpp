// Service through a real program: started standalone, by inetd and by systemd's sockets; signals; what it says when it
// cannot start.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>

#include "base/strings.h"
#include "net/blocking_transport.h"
#include "net/daemon.h"
#include "tests/net/certificates.h"
#include "tests/net/pair.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::test;

namespace {

const std::string kDaemon = RELAIS_BINARY_DIR "/tests/net/echo_daemon";

struct Program {
  test::TemporaryDirectory directory;
  pid_t pid = -1;

  explicit Program(const std::string& toml) {
    std::ofstream(directory / "relais.toml") << "[run]\nuser = \"nobody\"\n[log]\ntarget = \"file:" << directory / "log"
                                             << "\"\n"
                                             << toml;
  }
  ~Program() {
    if (pid > 0) kill(pid, SIGKILL), waitpid(pid, nullptr, 0);
  }
  /// `prepare` runs in the child; descriptor 2 goes to DIRECTORY/err.
  template <class Prepare>
  void start(Prepare prepare, const char* option = nullptr) {
    const auto config = directory / "relais.toml";
    const auto err = directory / "err";
    pid = fork();
    if (pid != 0) return;
    const int fd = open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, 2);
    prepare();
    execl(kDaemon.c_str(), "echo_daemon", config.c_str(), option, nullptr);
    _exit(127);
  }
  void start() {
    start([] {});
  }
  std::string log() const { return test::read_path(directory.path() / "log"); }
  std::string err() const {
    return std::filesystem::exists(directory / "err") ? test::read_path(directory.path() / "err") : std::string();
  }
  /// Waits for the word in the log.
  std::string wait_for(std::string_view word) const {
    for (int i = 0; i < 1000; ++i) {
      if (std::filesystem::exists(directory / "log") && log().find(word) != std::string::npos) return log();
      std::this_thread::sleep_for(5ms);
    }
    FAIL("the log never said " << word << ": " << log() << err());
    return {};
  }
  int exit_status() {
    int status = 0;
    waitpid(pid, &status, 0);
    pid = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  /// The port it listens on, out of "listen=127.0.0.1:PORT".
  std::uint16_t port() const {
    const auto text = wait_for("event=ready");
    const auto at = text.find("127.0.0.1:", text.rfind("listen="));
    return static_cast<std::uint16_t>(std::atoi(text.c_str() + at + 10));
  }
};

std::string line(BlockingTransport& transport) {
  std::string all;
  while (!all.ends_with("\r\n")) {
    const auto more = transport.read_some();
    if (!more || more->empty()) return all + "<end>";
    all += *more;
  }
  return all;
}

UniqueFd listening() {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_storage storage{};
  const auto octets = SocketAddress{*IpAddress::parse("127.0.0.1"), 0, {}}.to(storage);
  REQUIRE(bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), octets) == 0);
  REQUIRE(listen(fd.get(), 16) == 0);
  return fd;
}

constexpr const char* kPlain = "[smtp]\nlisten = [\"127.0.0.1:0\"]\n";

}  // namespace

TEST_CASE("standalone: ready, work, reload, and a clean end on SIGTERM") {
  Program program(kPlain);
  program.start();
  auto client = *BlockingTransport::connect("127.0.0.1", program.port(), 5s);
  CHECK(line(client) == "220 127.0.0.1\r\n");
  REQUIRE(client.write_all("WORK\r\n"));
  CHECK(line(client) == "worked\r\n");
  kill(program.pid, SIGHUP);
  program.wait_for("event=reloaded");
  kill(program.pid, SIGTERM);
  CHECK(line(client) == "421 bye\r\n");
  client.close();
  CHECK(program.exit_status() == 0);
  CHECK(program.log().find("event=stopped") != std::string::npos);
  CHECK(program.err().empty());
}

TEST_CASE("inetd: one connection on descriptor 0, nothing else on it, then the end") {
  Program program(kPlain);
  const auto listener = listening();
  auto client = *BlockingTransport::connect("127.0.0.1", local_address(listener.get()).port, 5s);
  const UniqueFd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  program.start([&] {
    for (int fd = 0; fd < 3; ++fd) dup2(accepted.get(), fd);
  });
  CHECK(line(client) == "220 127.0.0.1\r\n");
  REQUIRE(client.write_all("QUIT\r\n"));
  CHECK(line(client) == "QUIT\r\n");
  client.close();
  CHECK(program.exit_status() == 0);
}

TEST_CASE("inetd: what cannot start says nothing to the client") {
  Program program("[smtp]\nsubmissions = [\"127.0.0.1:0\"]\n");  // and no certificate
  const auto listener = listening();
  auto client = *BlockingTransport::connect("127.0.0.1", local_address(listener.get()).port, 5s);
  UniqueFd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  program.start([&] {
    for (int fd = 0; fd < 3; ++fd) dup2(accepted.get(), fd);
  });
  accepted.reset();
  CHECK(line(client) == "<end>");
  CHECK(program.exit_status() == kExitConfig);
}

TEST_CASE("inetd: pipes and files in place of a socket") {
  Program program(kPlain);
  int out[2];
  REQUIRE(pipe2(out, O_CLOEXEC) == 0);
  std::ofstream(program.directory / "in") << "QUIT\r\n";
  const auto in = program.directory / "in";
  program.start(
      [&] {
        dup2(open(in.c_str(), O_RDONLY), 0);
        dup2(out[1], 1);
      },
      "--inetd");
  close(out[1]);
  auto reader = BlockingTransport::over(out[0], open("/dev/null", O_WRONLY | O_CLOEXEC));
  CHECK(line(reader).starts_with("220 "));
  CHECK(program.exit_status() == 0);
}

TEST_CASE("systemd: sockets by name, readiness by notification") {
  Program program(kPlain);
  const auto listener = listening();
  const UniqueFd notify(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto path = program.directory / "notify";
  sockaddr_storage storage{};
  const auto octets = SocketAddress{{}, 0, path}.to(storage);
  REQUIRE(bind(notify.get(), reinterpret_cast<sockaddr*>(&storage), octets) == 0);
  std::filesystem::permissions(path,
                               std::filesystem::perms::all);  // as systemd's is: the program is another user by then
  std::filesystem::permissions(program.directory.path(), std::filesystem::perms(0711));
  program.start([&] {
    dup2(listener.get(), 3);
    setenv("LISTEN_PID", decimal(getpid()).c_str(), 1);
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_FDNAMES", "echo", 1);
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
  });
  char said[256];
  REQUIRE(recv(notify.get(), said, sizeof said, 0) > 0);
  CHECK(std::string_view(said).starts_with("READY=1"));
  auto client = *BlockingTransport::connect("127.0.0.1", local_address(listener.get()).port, 5s);
  CHECK(line(client) == "220 127.0.0.1\r\n");
  client.close();
  kill(program.pid, SIGTERM);
  CHECK(program.exit_status() == 0);
}

TEST_CASE("certificates are read again on SIGHUP; a broken one leaves the old in use") {
  test::TemporaryDirectory certificates;
  const Authority authority(certificates.path().string());
  const auto files = authority.issue("a", {"one.example.test"});
  config::Tls trust;
  trust.ca_file = authority.ca_file();
  Program program("[smtp]\nsubmissions = [\"127.0.0.1:0\"]\n[[tls.certificates]]\ncertificate = \"" +
                  files.certificate + "\"\nkey = \"" + files.key + "\"\n");
  // The program becomes another user when the tests run as root: it must still be able to read them on SIGHUP.
  for (const auto& path : {certificates.path().string(), files.certificate, files.key})
    std::filesystem::permissions(path, std::filesystem::perms(0755));
  program.start();
  const auto port = program.port();
  const auto greeted_as = [&](const std::string& name) {
    auto client = *BlockingTransport::connect("127.0.0.1", port, 5s);
    TlsPeer peer;
    peer.hostname = name;
    if (auto tls = client.start_tls(*TlsContext::client(trust), peer); !tls) return tls.error().text;
    return line(client);
  };
  CHECK(greeted_as("one.example.test") == "220 127.0.0.1\r\n");
  CHECK(greeted_as("two.example.test").find("mismatch") != std::string::npos);
  authority.issue("a", {"two.example.test"});
  kill(program.pid, SIGHUP);
  program.wait_for("event=reloaded");
  CHECK(greeted_as("two.example.test") == "220 127.0.0.1\r\n");
  std::ofstream(files.certificate) << "broken";
  kill(program.pid, SIGHUP);
  program.wait_for("is no PEM certificate");
  CHECK(greeted_as("two.example.test") == "220 127.0.0.1\r\n");
}

TEST_CASE("what cannot start says one line and exits with its code") {
  SECTION("busy port: 73") {
    const auto listener = listening();
    const auto address = local_address(listener.get()).to_string();
    Program program("[smtp]\nlisten = [\"" + address + "\"]\n");
    program.start();
    CHECK(program.exit_status() == kExitCannotCreate);
    CHECK(program.err().starts_with("echo: cannot listen on " + address + " (echo): in use by another program"));
    const auto said = program.err();
    CHECK(std::count(said.begin(), said.end(), '\n') == 1);
  }
  SECTION("missing certificate: 78") {
    Program program("[smtp]\nsubmissions = [\"127.0.0.1:0\"]\n");
    program.start();
    CHECK(program.exit_status() == kExitConfig);
    CHECK(program.err().find("no certificate") != std::string::npos);
  }
  SECTION("unknown key: 78, with file and line") {
    Program program("[smtp]\nlisen = [\"127.0.0.1:0\"]\n");
    program.start();
    CHECK(program.exit_status() == kExitConfig);
    CHECK(program.err().find("relais.toml:6: unknown key smtp.lisen; did you mean smtp.listen?") != std::string::npos);
  }
  SECTION("nothing to do: 78") {
    Program program("");
    program.start();
    CHECK(program.exit_status() == kExitConfig);
  }
  if (geteuid() == 0) {
    SECTION("root without a user to become: 78") {
      Program program(std::string(kPlain) + "[run]\n");
      std::ofstream(program.directory / "relais.toml") << kPlain << "[run]\nuser = \"no-such-user\"\n";
      program.start();
      CHECK(program.exit_status() == kExitConfig);
      CHECK(program.err().find("no-such-user") != std::string::npos);
    }
    SECTION("root as the user to become: 78") {
      Program program("");
      std::ofstream(program.directory / "relais.toml") << kPlain << "[run]\nuser = \"root\"\n";
      program.start();
      CHECK(program.exit_status() == kExitConfig);
    }
    SECTION("root is given up: no id, group or way back is left") {
      Program program("");
      std::ofstream(program.directory / "relais.toml")
          << kPlain << "[log]\ntarget = \"stderr\"\n[run]\nuser = \"nobody\"\n";
      program.start();
      for (int i = 0; i < 1000 && program.err().find("event=ready") == std::string::npos; ++i)
        std::this_thread::sleep_for(5ms);
      const auto status = test::read_path("/proc/" + std::to_string(program.pid) + "/status");
      CHECK(status.find("Uid:\t65534\t65534\t65534\t65534") != std::string::npos);
      CHECK(status.find("Gid:\t65534\t65534\t65534\t65534") != std::string::npos);
    }
  } else {
    SECTION("a port below 1024 as an ordinary user: 77, with the remedies") {
      Program program("[smtp]\nlisten = [\"127.0.0.1:25\"]\n");
      program.start();
      CHECK(program.exit_status() == kExitNoPermission);
      CHECK(program.err().find("CAP_NET_BIND_SERVICE") != std::string::npos);
    }
  }
}
