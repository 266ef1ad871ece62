#include "mta/relay/https_get.h"

#include <algorithm>

#include "base/strings.h"

namespace mail::relay {

namespace {
constexpr std::size_t kMostAddressesTried = 4;
}

HttpsGet::HttpsGet(net::Loop& loop, net::Resolver& resolver, std::shared_ptr<const net::TlsContext> tls,
                   Request request, Callback callback)
    : loop_(loop),
      resolver_(resolver),
      tls_(std::move(tls)),
      request_(std::move(request)),
      callback_(std::move(callback)),
      answer_(request_.most_octets),
      timer_(loop, [this] { fail_with("no answer in time"); }) {
  timer_.start(request_.time);
  open_questions_ = request_.ipv6 ? 2 : 1;
  if (request_.ipv6) ask(net::DnsType::aaaa);
  ask(net::DnsType::a);
}

HttpsGet::~HttpsGet() = default;

void HttpsGet::ask(net::DnsType type) {
  queries_.push_back(resolver_.ask(type, request_.host, [this](net::DnsResult r) { on_addresses(std::move(r)); }));
}

void HttpsGet::on_addresses(net::DnsResult result) {
  if (!result) last_error_ = result.error().text;
  if (result)
    for (const auto& address : result->addresses)
      if (!address.is_unspecified() && (request_.private_addresses || !address.is_private()))
        addresses_.push_back(address);
  if (--open_questions_ > 0) return;
  // IPv4 first: where IPv6 leads nowhere, all the time would be spent on it.
  std::ranges::stable_sort(addresses_, {}, &IpAddress::is_v4);
  if (addresses_.size() > kMostAddressesTried)
    addresses_.erase(addresses_.begin(), addresses_.end() - kMostAddressesTried);
  if (addresses_.empty() && last_error_.empty()) last_error_ = "it has no address that may be used";
  connect_next();
}

void HttpsGet::connect_next() {
  if (!callback_) return;
  connection_.reset();
  if (addresses_.empty()) return fail_with(last_error_);
  const net::SocketAddress to{.ip = addresses_.back(), .port = request_.port, .unix_path = {}};
  addresses_.pop_back();
  connector_ = std::make_unique<net::Connector>(
      loop_, to, request_.time / 2, [this](Result<std::unique_ptr<net::Connection>> connection) {
        if (!connection) {
          last_error_ = connection.error().text;
          return connect_next();
        }
        connection_ = std::move(*connection);
        connection_->set_handler(this);
        connection_->start_tls(tls_, {.hostname = request_.host,
                                      .verify = net::TlsPeer::Verify::required,
                                      .tlsa = {},
                                      .alpn = {"http/1.1"},
                                      .dns_id_only = true});
      });
}

void HttpsGet::on_tls_started() {
  const auto port = request_.port == 443 ? std::string() : ":" + decimal(request_.port);
  connection_->write(concat({"GET ", request_.path, " HTTP/1.1\r\nHost: ", request_.host, port,
                             "\r\nUser-Agent: Relais\r\nAccept: ", request_.media_type,
                             "\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\n"}));
}

void HttpsGet::on_octets(std::string_view octets) {
  if (answer_.receive(octets) != HttpAnswer::State::more) answered();
}

void HttpsGet::on_closed(net::CloseReason reason) {
  if (reason == net::CloseReason::peer_closed && answer_.status() != 0) {
    answer_.ended();
    return answered();
  }
  const auto& text = connection_->error_text();
  last_error_ = text.empty() ? std::string(net::to_string(reason)) : text;
  // Another address may be better; what has begun to answer is not asked again elsewhere.
  if (answer_.status() != 0) return fail_with(last_error_);
  loop_.post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) connect_next();
  });
}

void HttpsGet::answered() {
  if (answer_.state() == HttpAnswer::State::failed) return fail_with(answer_.why());
  if (answer_.status() != 200) return fail_with(concat({"it answered ", decimal(answer_.status())}));
  if (answer_.media_type() != request_.media_type)
    return fail_with(concat({"its answer is not ", request_.media_type}));
  finish(std::string(answer_.body()));
}

void HttpsGet::fail_with(std::string_view why) {
  finish(fail(Error::Kind::temporary, concat({"https://", request_.host, request_.path, ": ", why})));
}

void HttpsGet::finish(Result<std::string> result) {
  timer_.cancel();
  queries_.clear();
  connector_.reset();
  if (connection_) connection_->abort();
  if (callback_) std::exchange(callback_, nullptr)(std::move(result));
}

}  // namespace mail::relay
