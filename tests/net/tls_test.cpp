#include "net/blocking_transport.h"
#include "tests/net/certificates.h"
#include "tests/net/pair.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::test;

namespace {

struct TlsPair : Pair {
  test::TemporaryDirectory directory;
  Authority authority{directory.path().string()};
  config::Tls server_settings;
  config::Tls client_settings;

  TlsPair() {
    server_settings.certificates = {authority.issue("one", {"mail.example.test", "127.0.0.1"}),
                                    authority.issue("two", {"*.example.org"})};
    client_settings.ca_file = authority.ca_file();
  }
  void handshake(const TlsPeer& peer) {
    const auto server = *TlsContext::server(server_settings);
    const auto client = *TlsContext::client(client_settings);
    a->start_tls(client, peer);
    b->start_tls(server);
    run_until(*loop, [&] { return (at_a.tls_started && at_b.tls_started) || at_a.closed || at_b.closed; });
  }
  static TlsPeer verified(const std::string& name) {
    TlsPeer peer;
    peer.hostname = name;
    return peer;
  }
};

}  // namespace

TEST_CASE("TLS both ways on one socket, verified") {
  TlsPair pair;
  pair.handshake(TlsPair::verified("mail.example.test"));
  REQUIRE(pair.at_a.tls_started);
  REQUIRE(pair.at_b.tls_started);
  const auto info = *pair.a->tls_info();
  CHECK(info.version == "TLSv1.3");
  CHECK(info.peer_verified);
  CHECK(pair.b->tls_info()->server_name == "mail.example.test");
  CHECK(pair.a->tls_exporter().size() == 32);
  CHECK(pair.a->tls_exporter() == pair.b->tls_exporter());
  CHECK(pair.a->tls_server_end_point().size() == 32);
  CHECK(pair.a->tls_server_end_point() == pair.b->tls_server_end_point());

  SECTION("text, and ten megabytes") {
    std::string big(10'000'000, '\0');
    for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 13 + i / 1021);
    pair.a->write("EHLO\r\n");
    pair.b->write(std::string(big));
    run_until(*pair.loop, [&] { return pair.at_a.octets.size() == big.size(); });
    CHECK(pair.at_a.octets == big);
    run_until(*pair.loop, [&] { return pair.at_b.octets == "EHLO\r\n"; });
  }
  SECTION("a pause with octets inside TLS loses none") {
    std::string big(300'000, 'q');
    bool paused = false;
    pair.at_a.each = [&](std::string_view) {
      if (!paused) pair.a->pause_reading(), paused = true;
    };
    pair.b->write(std::string(big));
    run_for(*pair.loop, 50ms);
    CHECK(pair.at_a.octets.size() < big.size());
    pair.a->resume_reading();
    run_until(*pair.loop, [&] { return pair.at_a.octets.size() == big.size(); });
  }
  SECTION("orderly end") {
    pair.b->write("bye");
    pair.b->close_when_written();
    run_until(*pair.loop, [&] { return pair.at_a.closed.has_value(); });
    CHECK(pair.at_a.octets == "bye");
    CHECK(*pair.at_a.closed == CloseReason::peer_closed);
  }
  SECTION("a stream cut short is told from one that ended") {
    REQUIRE(shutdown(pair.b->fd(), SHUT_WR) == 0);
    run_until(*pair.loop, [&] { return pair.at_a.closed.has_value(); });
    CHECK(*pair.at_a.closed == CloseReason::truncated);
  }
}

TEST_CASE("the certificate is chosen by SNI") {
  TlsPair pair;
  pair.handshake(TlsPair::verified("shop.example.org"));
  REQUIRE(pair.at_a.tls_started);
  CHECK(pair.a->tls_info()->peer_verified);
}

TEST_CASE("an address is verified as an address") {
  TlsPair pair;
  pair.handshake(TlsPair::verified("127.0.0.1"));
  CHECK(pair.at_a.tls_started);
  CHECK(pair.b->tls_info()->server_name.empty());
}

TEST_CASE("certificates wrong in each way are refused by who verifies") {
  TlsPair pair;
  SECTION("another name") {
    pair.handshake(TlsPair::verified("other.example.net"));
    REQUIRE(pair.at_a.closed);
    CHECK(*pair.at_a.closed == CloseReason::tls_failed);
    CHECK(pair.a->error_text().find("ostname mismatch") != std::string::npos);
  }
  SECTION("a wildcard does not reach two labels down") {
    pair.handshake(TlsPair::verified("a.b.example.org"));
    CHECK(pair.at_a.closed);
  }
  SECTION("expired") {
    pair.server_settings.certificates = {pair.authority.issue("old", {"mail.example.test"}, -1)};
    std::vector<std::string> warnings;
    REQUIRE(TlsContext::server(pair.server_settings, nullptr, &warnings));
    CHECK(warnings.size() == 1);
    pair.handshake(TlsPair::verified("mail.example.test"));
    REQUIRE(pair.at_a.closed);
    CHECK(pair.a->error_text().find("expired") != std::string::npos);
  }
  SECTION("an unknown authority") {
    const test::TemporaryDirectory elsewhere;
    const Authority other(elsewhere.path().string());
    pair.client_settings.ca_file = other.ca_file();
    pair.handshake(TlsPair::verified("mail.example.test"));
    CHECK(pair.at_a.closed);
  }
  SECTION("opportunistic: taken, and told") {
    auto peer = TlsPair::verified("other.example.net");
    peer.verify = TlsPeer::Verify::none;
    pair.handshake(peer);
    REQUIRE(pair.at_a.tls_started);
    CHECK_FALSE(pair.a->tls_info()->peer_verified);
    CHECK_FALSE(pair.a->tls_info()->verify_error.empty());
  }
}

TEST_CASE("what is no TLS ends the handshake") {
  TlsPair pair;
  pair.b->start_tls(*TlsContext::server(pair.server_settings));
  pair.a->write("EHLO not.tls.example\r\n");
  run_until(*pair.loop, [&] { return pair.at_b.closed.has_value(); });
  CHECK(*pair.at_b.closed == CloseReason::tls_failed);
}

TEST_CASE("a clear reply before the handshake goes out in clear") {
  TlsPair pair;
  const auto server = *TlsContext::server(pair.server_settings);
  const auto client = *TlsContext::client(pair.client_settings);
  pair.at_a.each = [&](std::string_view got) {
    if (got == "220 go ahead\r\n") pair.a->start_tls(client, TlsPair::verified("mail.example.test"));
  };
  pair.at_b.each = [&](std::string_view got) {
    if (got != "STARTTLS\r\n") return;
    pair.b->write("220 go ahead\r\n");
    pair.b->start_tls(server);
  };
  pair.a->write("STARTTLS\r\n");
  run_until(*pair.loop, [&] { return pair.at_a.tls_started && pair.at_b.tls_started; });
  CHECK(pair.at_a.octets == "220 go ahead\r\n");
}

TEST_CASE("session tickets survive a reload of the certificates") {
  TlsPair pair;
  const auto before = *TlsContext::server(pair.server_settings);
  CHECK(TlsContext::server(pair.server_settings, before.get()));
}

TEST_CASE("each mistake in the certificate files is named") {
  TlsPair pair;
  const auto text = [&](config::Certificate files) {
    config::Tls settings;
    settings.certificates = {std::move(files)};
    const auto context = TlsContext::server(settings);
    return context ? std::string("no error") : context.error().text;
  };
  const auto good = pair.server_settings.certificates[0];
  const auto other = pair.server_settings.certificates[1];
  CHECK(text({"/nonexistent.pem", ""}).starts_with("certificate /nonexistent.pem: No such file or directory"));
  CHECK(text({good.certificate, other.key}).find("does not belong to certificate") != std::string::npos);
  CHECK(text({good.key, good.key}).find("is no PEM certificate") != std::string::npos);
  CHECK(text({good.certificate, good.certificate}).find("is no PEM private key") != std::string::npos);
  CHECK_FALSE(TlsContext::server(config::Tls{}));
  config::Tls ca;
  ca.ca_file = good.key;
  CHECK_FALSE(TlsContext::client(ca));
}
