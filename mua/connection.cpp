#include "mua/connection.h"

#include "base/strings.h"

namespace mail::mua {

namespace {
// RFC 5321 section 4.5.3.2 asks for minutes; a person waits less long for a connection.
constexpr std::chrono::milliseconds kConnectTimeout{30'000};
constexpr std::chrono::milliseconds kReplyTimeout{300'000};
}  // namespace

Result<net::BlockingTransport> connect(const Login& login) {
  auto transport = net::BlockingTransport::connect(login.url.host, login.url.port, kConnectTimeout);
  if (!transport) return transport;
  transport->set_timeout(kReplyTimeout);
  if (login.url.tls == Url::Tls::implicit) MAIL_CHECK(start_tls(*transport, login));
  return transport;
}

Status start_tls(net::BlockingTransport& transport, const Login& login) {
  config::Tls settings;
  settings.ca_file = login.ca_file;
  MAIL_TRY(context, net::TlsContext::client(settings));
  net::TlsPeer peer;
  peer.hostname = login.url.host;
  return transport.start_tls(context, peer);
}

Result<std::unique_ptr<sasl::ClientExchange>> begin_login(const Login& login, net::BlockingTransport& transport,
                                                          const std::vector<std::string>& offered) {
  sasl::ClientCredentials credentials;
  credentials.user = login.url.user;
  credentials.host = login.url.host;
  credentials.port = login.url.port;
  if (login.oauth_token.given()) {
    MAIL_TRY(token, read_secret(login.oauth_token));
    credentials.token = token;
  } else {
    MAIL_TRY(password, read_secret(login.password));
    credentials.password = password;
  }
  sasl::Channel channel;
  channel.encrypted = transport.tls_info().has_value();
  channel.tls_exporter = transport.tls_exporter();
  channel.tls_server_end_point = transport.tls_server_end_point();
  const auto mechanism = sasl::choose_mechanism(offered, credentials, channel, login.url.tls == Url::Tls::none);
  if (!mechanism)
    return fail(Error::Kind::refused, concat({login.url.host, " offers no log-in that would be safe here"}));
  return sasl::begin_client(*mechanism, credentials, channel, offered);
}

}  // namespace mail::mua
