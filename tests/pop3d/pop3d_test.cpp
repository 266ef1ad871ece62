// pop3d as a whole, over sockets: the driver, the store and the server together. What the session says is tested in
// tests/pop3.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/strings.h"
#include "base/unique_fd.h"
#include "config/load.h"
#include "net/service.h"
#include "pop3d/server.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace std::chrono_literals;

namespace {

/// A daemon in a thread of its own, with one user `ann`, password `secret`.
class Daemon {
 public:
  explicit Daemon(const std::string& more = {}) {
    std::ofstream(directory / "users") << "ann:{PLAIN}secret::::::\nbob:{PLAIN}other::::::\n";
    const std::string toml =
        concat({"[host]\nname = \"mail.example.test\"\ndomains = [\"example.test\"]\n[log]\ntarget = \"file:",
                directory / "log", "\"\n[mail]\nroot = \"", directory / "mail/%n", "\"\n[users]\npasswd_file = \"",
                directory / "users", "\"\n[auth]\nallow_plaintext = true\nfailure_delay = \"10ms\"\n", more});
    auto settings = config::load_text(toml);
    if (!settings) throw std::runtime_error(to_string(settings.error().front()));
    net::ServiceOptions options{.program = "pop3d", .settings = *settings, .listeners = {}};
    options.keep_root = true;  // the test runs as whoever runs it
    options.listeners.push_back({.endpoint = *config::Endpoint::parse("127.0.0.1:0"), .name = "pop3"});
    auto opened = net::Service::open(std::move(options));
    if (!opened) throw std::runtime_error("the service does not open");
    service = std::move(*opened);
    auto made = pop3d::Pop3Server::open(*service);
    if (!made) throw std::runtime_error(made.error().text);
    server = std::move(*made);
    port = service->server().addresses().front().port;
    thread = std::thread([this] {
      service->run([this](auto connection, const net::Listen&) { return server->session(std::move(connection)); });
    });
  }
  ~Daemon() { stop(); }
  void stop() {
    if (!thread.joinable()) return;
    service->stop();
    thread.join();
    server->finish();
  }
  std::filesystem::path maildir(const std::string& user = "ann") const { return directory.path() / "mail" / user; }
  void deliver(const std::string& name, const std::string& content) const {
    for (const auto* sub : {"cur", "new", "tmp"}) std::filesystem::create_directories(maildir() / sub);
    std::ofstream(maildir() / "new" / name) << content;
  }

  test::TemporaryDirectory directory;
  std::unique_ptr<net::Service> service;
  std::unique_ptr<pop3d::Pop3Server> server;
  std::uint16_t port = 0;
  std::thread thread;
};

class Client {
 public:
  explicit Client(const Daemon& daemon) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(daemon.port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      throw std::runtime_error("connect");
    greeting = line();
  }
  void put(std::string_view octets) {
    while (!octets.empty()) {
      const auto sent = ::send(fd_.get(), octets.data(), octets.size(), MSG_NOSIGNAL);
      if (sent <= 0) throw std::runtime_error("send");
      octets.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  /// The next line without CRLF; "(closed)" at the end.
  std::string line() {
    for (;;) {
      if (const auto end = buffer_.find("\r\n", at_); end != std::string::npos) {
        std::string found = buffer_.substr(at_, end - at_);
        at_ = end + 2;
        if (at_ > 1U << 20) buffer_.erase(0, at_), at_ = 0;
        return found;
      }
      pollfd ready{.fd = fd_.get(), .events = POLLIN, .revents = 0};
      if (::poll(&ready, 1, 10000) != 1) return "(silence)";
      char octets[65536];
      const auto got = ::recv(fd_.get(), octets, sizeof octets, 0);
      if (got <= 0) return "(closed)";
      buffer_.append(octets, static_cast<std::size_t>(got));
    }
  }
  std::string ask(std::string_view command) {
    put(concat({command, "\r\n"}));
    return line();
  }
  std::vector<std::string> lines() {
    std::vector<std::string> all;
    for (;;) {
      all.push_back(line());
      if (all.back() == "." || all.back().starts_with("(")) break;
    }
    return all;
  }
  bool login(const std::string& user = "ann", const std::string& password = "secret") {
    ask("USER " + user);
    return ask("PASS " + password) == "+OK Logged in";
  }
  std::string greeting;

 private:
  UniqueFd fd_;
  std::string buffer_;
  std::size_t at_ = 0;
};

std::size_t files_in(const std::filesystem::path& maildir) {
  std::size_t count = 0;
  for (const auto* sub : {"cur", "new"})
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(maildir / sub)) ++count;
  return count;
}

/// A removal is durable at once in the store's log, the files follow within a second.
bool files_become(const std::filesystem::path& maildir, std::size_t count) {
  for (int i = 0; i < 300 && files_in(maildir) != count; ++i) std::this_thread::sleep_for(10ms);
  return files_in(maildir) == count;
}

}  // namespace

TEST_CASE("pop3d: a session over the store") {
  Daemon daemon;
  daemon.deliver("1000.1.h", "Subject: one\n\n.\n..x\n");
  daemon.deliver("1001.2.h", "Subject: two\n\nbody\n");
  Client client(daemon);
  CHECK(client.greeting.starts_with("+OK POP3 server ready <"));
  REQUIRE(client.login());
  CHECK(client.ask("STAT") == "+OK 2 46");
  CHECK(client.ask("LIST") == "+OK 2 messages (46 octets)");
  CHECK(client.lines() == std::vector<std::string>{"1 24", "2 22", "."});
  CHECK(client.ask("RETR 1").starts_with("+OK "));
  CHECK(client.lines() == std::vector<std::string>{"Subject: one", "", "..", "...x", "."});
  CHECK(client.ask("TOP 2 0") == "+OK Top of the message follows");
  CHECK(client.lines() == std::vector<std::string>{"Subject: two", "", "."});
  client.ask("UIDL");
  const auto ids = client.lines();
  REQUIRE(ids.size() == 3);
  CHECK(ids[0].size() == 2 + 16);
  CHECK(client.ask("DELE 1") == "+OK Marked for removal");
  CHECK(files_in(daemon.maildir()) == 2);
  CHECK(client.ask("QUIT") == "+OK Bye");
  CHECK(client.line() == "(closed)");
  CHECK(files_become(daemon.maildir(), 1));

  Client again(daemon);
  REQUIRE(again.login());
  again.ask("UIDL");
  CHECK(again.lines() == std::vector<std::string>{"1" + ids[1].substr(1), "."});
}

TEST_CASE("pop3d: the unique ids are the same after a restart") {
  Daemon daemon;
  daemon.deliver("1000.1.h", "Subject: one\n\n");
  const auto ids = [&] {
    Client client(daemon);
    REQUIRE(client.login());
    client.ask("UIDL");
    return client.lines();
  };
  const auto before = ids();
  daemon.stop();
  Daemon other;
  other.deliver("x", "");
  std::filesystem::remove_all(other.maildir());
  std::filesystem::copy(daemon.maildir(), other.maildir(), std::filesystem::copy_options::recursive);
  Client client(other);
  REQUIRE(client.login());
  client.ask("UIDL");
  CHECK(client.lines() == before);
}

TEST_CASE("pop3d: a connection that breaks removes nothing") {
  Daemon daemon;
  daemon.deliver("1000.1.h", "Subject: one\n\n");
  {
    Client client(daemon);
    REQUIRE(client.login());
    CHECK(client.ask("DELE 1") == "+OK Marked for removal");
  }
  std::this_thread::sleep_for(50ms);
  CHECK(files_in(daemon.maildir()) == 1);
}

TEST_CASE("pop3d: two sessions at once; what one removed is gone for the other") {
  Daemon daemon;
  for (int i = 0; i < 10; ++i)
    daemon.deliver(concat({"10", decimal(i), ".1.h"}), concat({"Subject: ", decimal(i), "\n\n"}));
  Client one(daemon), two(daemon);
  REQUIRE(one.login());
  REQUIRE(two.login());
  one.ask("DELE 5");
  CHECK(one.ask("QUIT") == "+OK Bye");
  CHECK(two.ask("STAT").starts_with("+OK 10 "));
  CHECK(two.ask("RETR 5") == "-ERR Message is gone");
  two.ask("DELE 5");
  CHECK(two.ask("DELE 6") == "+OK Marked for removal");
  CHECK(two.ask("QUIT") == "+OK Bye");
  CHECK(files_become(daemon.maildir(), 8));
}

TEST_CASE("pop3d: many messages, pipelined and one by one, in and out of order, all whole") {
  Daemon daemon;
  constexpr int kCount = 300;
  std::vector<std::size_t> octets;
  for (int i = 0; i < kCount; ++i) {
    std::string content = concat({"Subject: ", decimal(i), i % 50 == 9 ? " \xC3\xA9\n\n" : "\n\n"});
    for (int k = 0; k < i * 3; ++k)
      content += concat({decimal(i), " line ", decimal(k), i % 40 == 30 ? std::string(2000, 'x') : "", "\n"});
    char name[32];
    std::snprintf(name, sizeof name, "%d.1.h", 100000 + i);
    daemon.deliver(name, content);
  }
  Client client(daemon);
  REQUIRE(client.login());
  const auto whole = [&](int number) {
    REQUIRE(client.line().starts_with("+OK "));
    const auto lines = client.lines();
    CHECK(lines.size() == static_cast<std::size_t>((number - 1) * 3 + 3));
    if ((number - 1) % 50 == 9)
      CHECK(lines.front() == "Subject: " + decimal(number - 1) + " =?UTF-8?B?w6k=?=");
    else
      CHECK(lines.front() == "Subject: " + decimal(number - 1));
  };
  std::string pipelined;
  for (int i = 1; i <= kCount; ++i) pipelined += concat({"RETR ", decimal(i), "\r\n"});
  std::thread writer([&] { client.put(pipelined); });
  for (int i = 1; i <= kCount; ++i) whole(i);
  writer.join();
  for (int i = 1; i <= kCount; ++i) {
    client.put(concat({"RETR ", decimal(i), "\r\n"}));
    whole(i);
  }
  for (int i = 2; i <= kCount; ++i) {  // the form that was made ahead is not always the one that is wanted
    client.put(concat({i % 10 == 3 ? "TOP " : "RETR ", decimal(i), i % 10 == 3 ? " 1\r\n" : "\r\n"}));
    if (i % 10 != 3) {
      whole(i);
      continue;
    }
    REQUIRE(client.line().starts_with("+OK "));
    CHECK(client.lines().size() == 4);
  }
  for (int i = kCount; i >= 1; i -= 7) {
    client.put(concat({"RETR ", decimal(i), "\r\nRETR ", decimal(i % 5 + 1), "\r\n"}));
    whole(i);
    whole(i % 5 + 1);
  }
}

TEST_CASE("pop3d: a large message to a slow reader") {
  Daemon daemon;
  std::string content = "Subject: large\n\n";
  while (content.size() < 20'000'000)
    content += ".a line that begins with a dot and is not short at all, to see that it comes whole\n";
  daemon.deliver("1000.1.h", content);
  Client client(daemon);
  REQUIRE(client.login());
  client.put("RETR 1\r\nNOOP\r\n");
  std::this_thread::sleep_for(300ms);  // the socket's buffers fill; the server waits
  CHECK(client.line().starts_with("+OK "));
  std::size_t lines = 0;
  for (std::string line = client.line(); line != "."; line = client.line(), ++lines)
    if (lines > 1 && !line.starts_with("..a line")) FAIL(line);
  CHECK(lines == static_cast<std::size_t>(std::ranges::count(content, '\n')));
  CHECK(client.line() == "+OK Done");
}

TEST_CASE("pop3d: wrong passwords have one answer, late, and end the session") {
  Daemon daemon("[pop3]\nerrors = 4\n");
  Client client(daemon);
  CHECK(client.ask("USER nobody") == "+OK Send PASS");
  CHECK(client.ask("PASS x") == "-ERR [AUTH] Authentication failed");
  CHECK_FALSE(client.login("ann", "wrong"));
  CHECK_FALSE(client.login("ann", "wrong"));
  client.ask("USER ann");
  CHECK(client.ask("PASS wrong") == "-ERR [AUTH] Authentication failed");
  CHECK(client.line() == "-ERR Too many errors");
  CHECK(client.line() == "(closed)");
}

TEST_CASE("pop3d: SASL mechanisms, SCRAM among them") {
  Daemon daemon;
  Client client(daemon);
  CHECK(client.ask("AUTH PLAIN AGFubgBzZWNyZXQ=") == "+OK Logged in");
  Client other(daemon);
  CHECK(other.ask("AUTH LOGIN").starts_with("+ "));
  CHECK(other.ask("YW5u").starts_with("+ "));
  CHECK(other.ask("c2VjcmV0") == "+OK Logged in");
  Client scram(daemon);
  CHECK(scram.ask("AUTH SCRAM-SHA-256 biwsbj1hbm4scj1hYmNkZWY=").starts_with("+ cj1hYmNkZW"));
  CHECK(scram.ask("*") == "-ERR Authentication cancelled");
  CHECK(scram.login());
}

TEST_CASE("pop3d: LOGIN-DELAY") {
  Daemon daemon("[pop3]\nlogin_delay = \"60s\"\n");
  Client one(daemon);
  CHECK(one.login());
  Client two(daemon);
  two.ask("USER ann");
  CHECK(two.ask("PASS secret") == "-ERR [LOGIN-DELAY] Too soon after the last login");
  CHECK(two.login("bob", "other"));
}

TEST_CASE("pop3d: time limits") {
  Daemon daemon("[pop3]\nlogin_timeout = \"1s\"\nidle_timeout = \"1s\"\n");
  Client silent(daemon);
  CHECK(silent.line() == "(closed)");
  Client idle(daemon);
  REQUIRE(idle.login());
  std::this_thread::sleep_for(500ms);
  CHECK(idle.ask("NOOP") == "+OK Done");
  CHECK(idle.line() == "(closed)");
}

TEST_CASE("pop3d: SIGTERM ends sessions with a word") {
  Daemon daemon;
  daemon.deliver("1000.1.h", "Subject: one\n\n");
  Client client(daemon);
  REQUIRE(client.login());
  client.ask("DELE 1");
  daemon.service->stop();
  CHECK(client.line() == "-ERR [SYS/TEMP] Server is shutting down");
  CHECK(client.line() == "(closed)");
  daemon.stop();
  CHECK(files_in(daemon.maildir()) == 1);
}

TEST_CASE("pop3d: a mailbox that cannot be opened") {
  Daemon daemon;
  std::filesystem::create_directories(daemon.directory.path() / "mail");
  std::ofstream(daemon.maildir()) << "a file, no folder";
  Client client(daemon);
  client.ask("USER ann");
  const auto reply = client.ask("PASS secret");
  CHECK((reply.starts_with("-ERR [SYS/PERM]") || reply.starts_with("-ERR [SYS/TEMP]")));
  CHECK(client.login("bob", "other"));
}

TEST_CASE("pop3d: reads what other programs put there, CRLF files too") {
  Daemon daemon;
  daemon.deliver("1000.1.h", "Subject: crlf\r\n\r\n.x\r\n");
  Client client(daemon);
  REQUIRE(client.login());
  CHECK(client.ask("STAT") == "+OK 1 21");
  CHECK(client.ask("RETR 1").starts_with("+OK "));
  CHECK(client.lines() == std::vector<std::string>{"Subject: crlf", "", "..x", "."});
}
