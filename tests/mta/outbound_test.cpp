#include "mta/relay/outbound.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "base/strings.h"

using namespace mail;
using namespace mail::relay;

namespace {

/// A host that says what the script says: lines "S text" are sent, "C text" are expected (prefix), "C*" swallows up to
/// the final dot, "close" ends the connection. One script per connection, one after the other.
class ScriptedHost {
 public:
  explicit ScriptedHost(std::vector<std::vector<std::string>> scripts) : scripts_(std::move(scripts)) {
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_.get(), 8) == 0);
    socklen_t length = sizeof address;
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~ScriptedHost() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  std::uint16_t port = 0;
  std::vector<std::string> mistakes;

 private:
  void run() {
    for (const auto& script : scripts_) {
      const UniqueFd peer(::accept(listener_.get(), nullptr, nullptr));
      if (!peer) return;
      std::string input;
      for (const auto& step : script) {
        if (step.starts_with("S ")) {
          const auto line = step.substr(2) + "\r\n";
          (void)!::send(peer.get(), line.data(), line.size(), MSG_NOSIGNAL);
        } else if (step.starts_with("C")) {
          const std::string end = step == "C*" ? "\r\n.\r\n" : "\r\n";
          char buffer[4096];
          while (input.find(end) == std::string::npos) {
            const auto got = ::recv(peer.get(), buffer, sizeof buffer, 0);
            if (got <= 0) {
              if (step != "C never") mistakes.push_back("the client left before: " + step);
              break;
            }
            input.append(buffer, static_cast<std::size_t>(got));
          }
          if (input.find(end) == std::string::npos) break;
          const auto line = input.substr(0, input.find(end));
          if (step != "C*" && !line.starts_with(step.substr(2))) mistakes.push_back(step + " <> " + line);
          input.erase(0, input.find(end) + end.size());
        }
      }
    }
  }
  std::vector<std::vector<std::string>> scripts_;
  UniqueFd listener_;
  std::thread thread_;
};

struct Client final : Outbound::Owner {
  std::unique_ptr<net::Loop> loop = std::move(*net::Loop::open());
  OutboundSettings settings;
  std::vector<Parcel> waiting;
  std::vector<std::string> results;
  std::string last;
  bool over = false;
  std::unique_ptr<Outbound> connection;

  explicit Client(std::size_t parcels) {
    settings.host_name = "us.example";
    settings.command_timeout = settings.data_timeout = std::chrono::milliseconds(300);
    for (std::size_t i = 0; i < parcels; ++i) {
      Parcel parcel;
      parcel.message.reverse_path = {"ann", "example.net"};
      parcel.message.recipients = {{{"bob", "example.org"}, {}}, {{"cy", "example.org"}, {}}};
      parcel.content = "Subject: x\r\n\r\n.dot\r\n";
      parcel.tag = i;
      waiting.push_back(std::move(parcel));
    }
  }
  void on_ready(Outbound& c) override {
    if (!waiting.empty()) {
      auto parcel = std::move(waiting.front());
      waiting.erase(waiting.begin());
      c.send(std::move(parcel));
    } else if (c.under_way() == 0) {
      c.close();
    }
  }
  void on_result(Outbound&, Parcel parcel, smtp::MessageResult result) override {
    std::string words = std::to_string(parcel.tag) + ":";
    for (const auto& recipient : result.recipients) words += " " + recipient.reply.line();
    results.push_back(words);
  }
  void on_over(Outbound&, smtp::Stage, smtp::Reply reply) override {
    last = reply.line();
    over = true;
  }
  void run(std::uint16_t port, TlsMode tls = TlsMode::opportunistic) {
    NextHop hop;
    hop.by_mx = false;
    hop.tls = tls;
    HostAddress host{"mx.example.org", {*IpAddress::parse("127.0.0.1"), port, {}}, 0};
    connection = std::make_unique<Outbound>(*loop, settings, hop, host, *this);
    for (int i = 0; i < 300 && !over; ++i) loop->run_once(std::chrono::milliseconds(10));
    CHECK(over);
    connection.reset();
  }
};

}  // namespace

TEST_CASE("several messages go over one connection, each recipient with its own word") {
  ScriptedHost host({{"S 220 mx ESMTP",
                      "C EHLO us.example",
                      "S 250 mx",
                      "C MAIL FROM:<ann@example.net>",
                      "S 250 ok",
                      "C RCPT TO:<bob@",
                      "S 250 ok",
                      "C RCPT TO:<cy@",
                      "S 550 5.1.1 unknown",
                      "C DATA",
                      "S 354 go",
                      "C*",
                      "S 250 2.0.0 queued as A",
                      "C MAIL",
                      "S 250 ok",
                      "C RCPT",
                      "S 250 ok",
                      "C RCPT",
                      "S 250 ok",
                      "C DATA",
                      "S 354 go",
                      "C*",
                      "S 451 4.3.0 later",
                      "C QUIT",
                      "S 221 bye"}});
  Client client(2);
  client.run(host.port);
  REQUIRE(client.results.size() == 2);
  CHECK(client.results[0] == "0: 250 2.0.0 queued as A 550 5.1.1 unknown");
  CHECK(client.results[1] == "1: 451 4.3.0 later 451 4.3.0 later");
  CHECK(client.last == "221 2.0.0 bye");
  CHECK(host.mistakes.empty());
}

TEST_CASE("a host that is not there, says no, goes away or falls silent leaves the message with a temporary word") {
  SECTION("connection refused") {
    Client client(1);
    client.run(1);
    CHECK(client.last.starts_with("451 4.4.1 "));
    CHECK(client.waiting.size() == 1);
  }
  SECTION("greeting refused") {
    ScriptedHost host({{"S 554 5.7.1 not you"}});
    Client client(1);
    client.run(host.port);
    CHECK(client.last == "554 5.7.1 not you");
  }
  SECTION("closed before the reply to the dot") {
    ScriptedHost host({{"S 220 mx", "C EHLO", "S 250 mx", "C MAIL", "S 250 ok", "C RCPT", "S 250 ok", "C RCPT",
                        "S 250 ok", "C DATA", "S 354 go", "C*", "close"}});
    Client client(1);
    client.run(host.port);
    REQUIRE(client.results.size() == 1);
    CHECK(client.results[0].starts_with("0: 421 4.4.2 "));
  }
  SECTION("silence") {
    ScriptedHost host({{"S 220 mx", "C EHLO", "S 250 mx", "C MAIL", "C never"}});
    Client client(1);
    client.run(host.port);
    REQUIRE(client.results.size() == 1);
    CHECK(client.results[0].find("did not answer in time") != std::string::npos);
  }
  SECTION("a 250 before the dot is no delivery") {
    // In one segment: a 250 of its own could come when the message is already on its way.
    ScriptedHost host({{"S 220 mx", "C EHLO", "S 250 mx", "C MAIL", "S 250 ok", "C RCPT", "S 250 ok", "C RCPT",
                        "S 250 ok", "C DATA", "S 354 go\r\n250 2.0.0 delivered, honest", "C never"}});
    Client client(1);
    client.run(host.port);
    REQUIRE(client.results.size() == 1);
    CHECK(client.results[0].starts_with("0: 4"));
  }
}

TEST_CASE("TLS that is required and not offered keeps the message here") {
  ScriptedHost host({{"S 220 mx", "C EHLO", "S 250 mx", "C never"}});
  Client client(1);
  client.settings.tls = [context = *net::TlsContext::client({})] { return context; };
  client.run(host.port, TlsMode::required);
  CHECK(client.last.starts_with("451 4.7.4 "));
  CHECK(client.waiting.size() == 1);
}

TEST_CASE("TLS that is required and that this host cannot do keeps the message here") {
  ScriptedHost host({{"S 220 mx", "C EHLO", "S 250-mx", "S 250 STARTTLS", "C never"}});
  Client client(1);
  client.run(host.port, TlsMode::required);
  CHECK(client.last.starts_with("451 4.3.5 "));
  CHECK(client.waiting.size() == 1);
}

TEST_CASE("TLS from the first octet that this host cannot do keeps the message here") {
  ScriptedHost host({{"C never"}});
  Client client(1);
  client.run(host.port, TlsMode::implicit);
  CHECK(client.last.starts_with("451 4.3.5 "));
  CHECK(client.waiting.size() == 1);
}

TEST_CASE("where opportunistic TLS fails the message goes in clear") {
  ScriptedHost host(
      {{"S 220 mx", "C EHLO", "S 250-mx", "S 250 STARTTLS", "C STARTTLS", "S 220 go", "S this is no handshake",
        "C never"},
       {"S 220 mx", "C EHLO", "S 250-mx", "S 250 STARTTLS", "C MAIL", "S 250 ok", "C RCPT", "S 250 ok", "C RCPT",
        "S 250 ok", "C DATA", "S 354 go", "C*", "S 250 2.0.0 in clear", "C QUIT", "S 221 bye"}});
  Client client(1);
  client.settings.tls = [context = *net::TlsContext::client({})] { return context; };
  client.run(host.port);
  REQUIRE(client.results.size() == 1);
  CHECK(client.results[0] == "0: 250 2.0.0 in clear 250 2.0.0 in clear");
}
