#include "net/server.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "net/blocking_transport.h"
#include "net/connector.h"
#include "tests/net/certificates.h"
#include "tests/net/pair.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::test;

namespace {

/// Greets, echoes lines, says goodbye.
class Echo final : public Session {
 public:
  Echo(std::unique_ptr<Connection> c, std::atomic<int>& ended) : Session(std::move(c)), ended_(ended) {}
  void on_ready() override { connection().write("hello " + connection().peer().ip.to_string() + "\r\n"); }
  void on_octets(std::string_view octets) override {
    connection().write(octets);
    if (octets == "QUIT\r\n") connection().close_when_written();
  }
  void on_shutdown() override {
    connection().write("bye\r\n");
    connection().close_when_written();
  }
  void on_ended(CloseReason) override { ++ended_; }

 private:
  std::atomic<int>& ended_;
};

/// A server on its own threads, on ephemeral ports.
struct Running {
  std::atomic<int> begun{0}, ended{0};
  std::unique_ptr<Loops> loops;
  std::unique_ptr<Server> server;
  std::thread thread;

  Running(std::vector<Listen> listeners, config::Limits limits, unsigned threads = 2,
          std::shared_ptr<const TlsContext> tls = {}) {
    loops = std::move(*Loops::open(threads));
    auto opened = Server::open(std::move(listeners), limits);
    INFO((opened ? "" : opened.error().text));
    REQUIRE(opened);
    server = std::move(*opened);
    server->set_tls(std::move(tls));
    server->start(*loops, [this](std::unique_ptr<Connection> c, const Listen&) {
      ++begun;
      return std::make_unique<Echo>(std::move(c), ended);
    });
    thread = std::thread([this] { loops->run(); });
  }
  ~Running() {
    stop(100ms);
    server.reset();
  }
  void stop(std::chrono::milliseconds grace) {
    if (!thread.joinable()) return;
    loops->first().post([this, grace] { server->shutdown(grace, [this] { loops->stop(); }); });
    thread.join();
  }
  BlockingTransport connect(std::size_t listener = 0) const {
    const auto address = server->addresses().at(listener);
    auto transport = address.is_unix() ? BlockingTransport::connect(address.to_string(), 0, 5s)
                                       : BlockingTransport::connect("127.0.0.1", address.port, 5s);
    REQUIRE(transport);
    return std::move(*transport);
  }
};

std::string read_until(BlockingTransport& transport, std::string_view end) {
  std::string all;
  while (!all.ends_with(end)) {
    auto more = transport.read_some();
    if (!more) return all + "<" + more.error().text + ">";
    if (more->empty()) return all + "<end>";
    all += *more;
  }
  return all;
}
template <class Condition>
void wait_until(Condition condition) {
  const auto limit = std::chrono::steady_clock::now() + 5s;
  while (!condition()) {
    REQUIRE(std::chrono::steady_clock::now() < limit);
    std::this_thread::sleep_for(2ms);
  }
}

Listen any_port(std::string name = "test") { return {{"127.0.0.1", 0, ""}, std::move(name), false, 0}; }

}  // namespace

TEST_CASE("a server greets, serves, and ends sessions") {
  Running running({any_port()}, {});
  auto client = running.connect();
  CHECK(read_until(client, "\r\n") == "hello 127.0.0.1\r\n");
  REQUIRE(client.write_all("QUIT\r\n"));
  CHECK(read_until(client, "\r\n") == "QUIT\r\n");
  CHECK(read_until(client, "x") == "<end>");
  client.close();
  wait_until([&] { return running.ended == 1; });
  wait_until([&] { return running.server->connections() == 0; });
}

TEST_CASE("sessions spread over the loops; SIGTERM's way lets each say goodbye") {
  Running running({any_port()}, {}, 3);
  std::vector<BlockingTransport> clients;
  for (int i = 0; i < 30; ++i) clients.push_back(running.connect());
  for (auto& client : clients) CHECK(read_until(client, "\r\n").starts_with("hello"));
  running.loops->first().post([&] { running.server->shutdown(5s, [&] { running.loops->stop(); }); });
  for (auto& client : clients) {
    CHECK(read_until(client, "\r\n") == "bye\r\n");
    client.close();
  }
  running.thread.join();
  CHECK(running.ended == 30);
}

TEST_CASE("sessions that do not leave are ended after the grace") {
  Running running({any_port()}, {});
  auto client = running.connect();
  read_until(client, "\r\n");
  const auto start = std::chrono::steady_clock::now();
  running.stop(50ms);
  CHECK(std::chrono::steady_clock::now() - start < 1500ms);
  CHECK(running.ended == 1);
}

TEST_CASE("a Unix socket, over a stale one; a live one is not taken over") {
  const test::TemporaryDirectory directory;
  const Listen listen{{"", 0, directory / "s"}, "lmtp", false, 0};
  {
    const UniqueFd stale(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_storage storage{};
    const auto octets = SocketAddress{{}, 0, directory / "s"}.to(storage);
    REQUIRE(bind(stale.get(), reinterpret_cast<sockaddr*>(&storage), octets) == 0);
  }
  Running running({listen}, {});
  auto client = running.connect();
  CHECK(read_until(client, "\r\n").starts_with("hello"));
  const auto second = Server::open({listen}, {});
  REQUIRE_FALSE(second);
  CHECK(second.error().text.find("is it running already?") != std::string::npos);
  client.close();
  running.stop(1s);
  struct stat info {};
  CHECK(stat((directory / "s").c_str(), &info) != 0);
}

TEST_CASE("what cannot be bound says why and what to do") {
  Running running({any_port()}, {});
  const auto port = running.server->addresses()[0].port;
  const auto busy = Server::open({{{"127.0.0.1", port, ""}, "smtp", false, 0}}, {});
  REQUIRE_FALSE(busy);
  CHECK(busy.error().kind == Error::Kind::temporary);
  CHECK(busy.error().text.find("in use by another program") != std::string::npos);
  const auto elsewhere = Server::open({{{"192.0.2.1", 0, ""}, "smtp", false, 0}}, {});
  REQUIRE_FALSE(elsewhere);
  CHECK(elsewhere.error().kind == Error::Kind::permanent);
  const auto named = Server::open({{{"mail.example.test", 2525, ""}, "smtp", false, 0}}, {});
  REQUIRE_FALSE(named);
  CHECK(named.error().text.find("not a name") != std::string::npos);
}

TEST_CASE("at the limit new connections wait, and are served when one ends") {
  config::Limits limits;
  limits.connections = 2;
  Running running({any_port()}, limits);
  auto one = running.connect();
  auto two = running.connect();
  read_until(one, "\r\n");
  read_until(two, "\r\n");
  auto three = running.connect();  // the kernel takes it into the backlog
  three.set_timeout(100ms);
  CHECK(read_until(three, "\r\n").find("time limit") != std::string::npos);
  REQUIRE(one.write_all("QUIT\r\n"));
  read_until(one, "QUIT\r\n");
  one.close();
  three.set_timeout(5s);
  CHECK(read_until(three, "\r\n").starts_with("hello"));
  REQUIRE(two.write_all("still here\r\n"));
  CHECK(read_until(two, "\r\n") == "still here\r\n");
}

namespace {

std::string proxied(std::string_view source) { return "PROXY TCP4 " + std::string(source) + " 192.0.2.9 1000 25\r\n"; }
config::Limits behind_proxy() {
  config::Limits limits;
  limits.proxies = {*IpPrefix::parse("127.0.0.0/8")};
  limits.proxy_header = 1s;
  return limits;
}

}  // namespace

TEST_CASE("PROXY headers: the client is who they name; limits count that address") {
  auto limits = behind_proxy();
  limits.connections_per_address = 2;
  Running running({any_port()}, limits);
  SECTION("header and first command in one segment") {
    auto client = running.connect();
    REQUIRE(client.write_all(proxied("192.0.2.1") + "QUIT\r\n"));
    CHECK(read_until(client, "QUIT\r\n") == "hello 192.0.2.1\r\nQUIT\r\n");
  }
  SECTION("octet by octet") {
    auto client = running.connect();
    for (const char c : proxied("192.0.2.1")) {
      REQUIRE(client.write_all({&c, 1}));
      std::this_thread::sleep_for(500us);
    }
    CHECK(read_until(client, "\r\n") == "hello 192.0.2.1\r\n");
  }
  SECTION("a third one of an address is closed, another address is served") {
    auto one = running.connect();
    auto two = running.connect();
    auto three = running.connect();
    auto other = running.connect();
    for (auto* client : {&one, &two}) {
      REQUIRE(client->write_all(proxied("192.0.2.1")));
      CHECK(read_until(*client, "\r\n") == "hello 192.0.2.1\r\n");
    }
    REQUIRE(three.write_all(proxied("192.0.2.1")));
    CHECK(read_until(three, "\r\n") == "<end>");
    REQUIRE(other.write_all(proxied("192.0.2.2")));
    CHECK(read_until(other, "\r\n") == "hello 192.0.2.2\r\n");
  }
  SECTION("none, or a wrong one: closed") {
    auto silent = running.connect();
    auto wrong = running.connect();
    REQUIRE(wrong.write_all("EHLO x\r\n"));
    CHECK(read_until(wrong, "\r\n").starts_with("<"));
    CHECK(read_until(silent, "\r\n") == "<end>");
    CHECK(running.begun == 0);
  }
}

TEST_CASE("without trust a PROXY header is the session's input") {
  Running running({any_port()}, {});
  auto client = running.connect();
  REQUIRE(client.write_all(proxied("192.0.2.1")));
  CHECK(read_until(client, "25\r\n") == "hello 127.0.0.1\r\n" + proxied("192.0.2.1"));
}

TEST_CASE("implicit TLS, behind a proxy as well") {
  const test::TemporaryDirectory directory;
  const Authority authority(directory.path().string());
  config::Tls settings;
  settings.certificates = {authority.issue("a", {"mail.example.test"})};
  settings.ca_file = authority.ca_file();
  const bool proxy = GENERATE(false, true);
  Running running({{{"127.0.0.1", 0, ""}, "imaps", true, 0}}, proxy ? behind_proxy() : config::Limits{}, 2,
                  *TlsContext::server(settings));
  auto client = running.connect();
  if (proxy) REQUIRE(client.write_all(proxied("192.0.2.1")));
  TlsPeer peer;
  peer.hostname = "mail.example.test";
  REQUIRE(client.start_tls(*TlsContext::client(settings), peer));
  CHECK(read_until(client, "\r\n") == (proxy ? "hello 192.0.2.1\r\n" : "hello 127.0.0.1\r\n"));
  CHECK(client.tls_info()->peer_verified);
  REQUIRE(client.write_all("QUIT\r\n"));
  CHECK(read_until(client, "QUIT\r\n") == "QUIT\r\n");
  CHECK(read_until(client, "x") == "<end>");
  auto plain = running.connect();
  if (proxy) REQUIRE(plain.write_all(proxied("192.0.2.1")));
  REQUIRE(plain.write_all("EHLO this is no TLS at all, and long enough to be seen as such\r\n"));
  const auto reply = read_until(plain, "\r\n");
  CHECK(reply.find("hello") == std::string::npos);
}

TEST_CASE("without descriptors accepting pauses and goes on by itself") {
  Running running({any_port()}, {});
  auto first = running.connect();
  read_until(first, "\r\n");
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  auto waiting = running.connect();
  read_until(waiting, "\r\n");
  auto one_more = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(one_more >= 0);
  const rlimit none{static_cast<rlim_t>(one_more), before.rlim_max};  // nothing above this one
  sockaddr_storage storage{};
  const auto octets = running.server->addresses()[0].to(storage);
  setrlimit(RLIMIT_NOFILE, &none);  // no CHECK until it is back: sanitizers need descriptors too
  const int connected = connect(one_more, reinterpret_cast<sockaddr*>(&storage), octets);
  std::this_thread::sleep_for(50ms);
  const auto sent = first.write_all("still served\r\n");
  const auto answer = read_until(first, "\r\n");
  setrlimit(RLIMIT_NOFILE, &before);
  REQUIRE(connected == 0);
  CHECK(sent);
  CHECK(answer == "still served\r\n");
  auto late = BlockingTransport::over(one_more, one_more);
  CHECK(read_until(late, "\r\n").starts_with("hello"));
}

TEST_CASE("connecting out") {
  Running running({any_port()}, {});
  auto loop = std::move(*Loop::open());
  std::optional<Result<std::unique_ptr<Connection>>> outcome;
  const auto remember = [&](Result<std::unique_ptr<Connection>> result) { outcome = std::move(result); };
  SECTION("made, from a chosen address") {
    const Connector connector(*loop, running.server->addresses()[0], 5s, remember,
                              SocketAddress{*IpAddress::parse("127.0.0.7"), 0, {}});
    run_until(*loop, [&] { return outcome.has_value(); });
    REQUIRE(*outcome);
    Recorder recorder;
    (**outcome)->set_handler(&recorder);
    run_until(*loop, [&] { return recorder.octets == "hello 127.0.0.7\r\n"; });
  }
  SECTION("refused") {
    const UniqueFd closed(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage storage{};
    const auto octets = SocketAddress{*IpAddress::parse("127.0.0.1"), 0, {}}.to(storage);
    REQUIRE(bind(closed.get(), reinterpret_cast<sockaddr*>(&storage), octets) == 0);
    const Connector connector(*loop, local_address(closed.get()), 5s, remember);
    run_until(*loop, [&] { return outcome.has_value(); });
    REQUIRE_FALSE(*outcome);
    CHECK(outcome->error().system == ECONNREFUSED);
    CHECK(outcome->error().kind == Error::Kind::temporary);
  }
  SECTION("given up before it was made") {
    { const Connector connector(*loop, running.server->addresses()[0], 5s, remember); }
    run_for(*loop, 20ms);
    CHECK_FALSE(outcome);
  }
  SECTION("no answer in time") {
    // A listener whose backlog is full answers no more.
    const UniqueFd full(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage storage{};
    const auto octets = SocketAddress{*IpAddress::parse("127.0.0.1"), 0, {}}.to(storage);
    REQUIRE(bind(full.get(), reinterpret_cast<sockaddr*>(&storage), octets) == 0);
    REQUIRE(listen(full.get(), 0) == 0);
    const auto address = local_address(full.get());
    std::vector<std::unique_ptr<Connector>> fillers;
    int made = 0;
    for (int i = 0; i < 4; ++i)
      fillers.push_back(std::make_unique<Connector>(*loop, address, 5s, [&](auto) { ++made; }));
    run_for(*loop, 20ms);
    const Connector connector(*loop, address, 50ms, remember);
    run_until(*loop, [&] { return outcome.has_value(); });
    REQUIRE_FALSE(*outcome);
    CHECK(outcome->error().system == ETIMEDOUT);
  }
}
