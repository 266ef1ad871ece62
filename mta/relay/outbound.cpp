#include "mta/relay/outbound.h"

#include <utility>

#include "base/disk.h"
#include "base/log.h"
#include "base/overloaded.h"
#include "base/strings.h"

namespace mail::relay {

namespace {
constexpr const char* kNoTlsHere = "4.3.5 TLS is required, and cannot be used here: see the log for `tls-off`";
}

Outbound::Outbound(net::Loop& loop, const OutboundSettings& settings, NextHop hop, HostAddress host, Owner& owner)
    : loop_(loop), settings_(settings), hop_(std::move(hop)), host_(std::move(host)), owner_(owner) {
  connect();
}

Outbound::~Outbound() { *alive_ = false; }

void Outbound::connect() {
  phase_ = Phase::connecting;
  session_ = std::make_unique<smtp::ClientSession>(smtp::ClientSettings{.host_name = settings_.host_name,
                                                                        .lmtp = hop_.lmtp,
                                                                        .chunking = settings_.chunking,
                                                                        .pipelining = settings_.pipelining,
                                                                        .tls = hop_.tls == TlsMode::implicit});
  connector_ = std::make_unique<net::Connector>(
      loop_, host_.address, settings_.connect_timeout,
      [this](Result<std::unique_ptr<net::Connection>> connection) { connected(std::move(connection)); },
      host_.address.is_unix()
          ? std::nullopt
          : source_for(hop_.transport && !hop_.transport->source.empty() ? hop_.transport->source : settings_.source,
                       host_.address));
}

void Outbound::connected(Result<std::unique_ptr<net::Connection>> connection) {
  if (!connection) return over(smtp::Stage::connect, {451, concat({"4.4.1 ", connection.error().text})});
  connection_ = std::move(*connection);
  connection_->set_handler(this);
  progress_ = true;
  if (hop_.tls == TlsMode::implicit) {
    auto context = tls_context();
    if (!context) return over(smtp::Stage::hello, {451, kNoTlsHere});
    phase_ = Phase::tls;
    arm_timeout();
    connection_->start_tls(
        std::move(context),
        net::TlsPeer{.hostname = host_.host_name, .verify = net::TlsPeer::Verify::required, .tlsa = {}, .alpn = {}});
    return;
  }
  phase_ = Phase::greeting;
  arm_timeout();
}

void Outbound::on_octets(std::string_view octets) {
  session_->receive(octets);
  pump();
}

void Outbound::on_drained() { pump(); }

void Outbound::on_tls_started() {
  phase_ = Phase::greeting;
  progress_ = true;
  if (hop_.tls != TlsMode::implicit) session_->tls_started();
  pump();
}

void Outbound::on_closed(net::CloseReason reason) {
  if (phase_ == Phase::over) return;
  const auto why = connection_->error_text().empty() ? std::string(net::to_string(reason)) : connection_->error_text();
  if (phase_ == Phase::tls && hop_.tls == TlsMode::opportunistic && !tls_required() && !without_tls_) {
    // RFC 7435 section 3: where TLS does not come about mail still goes, in clear, as it would have without the offer.
    log_event(LogLevel::info, "tls_failed",
              {{"host", host_.host_name}, {"address", host_.address.to_string()}, {"why", why}, {"next", "clear"}});
    without_tls_ = true;
    connection_.reset();
    return connect();
  }
  if (phase_ == Phase::tls)
    return over(smtp::Stage::hello, without_tls(reason == net::CloseReason::tls_failed, "7.5",
                                                concat({"TLS with ", host_.host_name, " failed: ", why})));
  session_->disconnected(concat({"the connection to ", host_.host_name, " ended: ", why}));
  pump();
}

void Outbound::pump() {
  if (pumping_) return;
  pumping_ = true;
  const auto alive = alive_;
  do {
    while (auto event = session_->next()) {
      progress_ = true;
      std::visit([this](auto& e) { handle(e); }, *event);
      if (!*alive) return;
    }
    if (phase_ == Phase::over) break;
  } while (feed_body() || (offer_ready() && *alive));
  if (!*alive) return;
  pumping_ = false;
  if (phase_ != Phase::over) arm_timeout();
}

/// Gives the session the next piece of the content. @return whether it has something to do now
bool Outbound::feed_body() {
  if (!body_open_) return false;
  if (body_rest_.empty()) {
    body_open_ = false;
    session_->finish_body();
    return true;
  }
  if (connection_->above_high_water()) {
    connection_->want_drained();
    return false;
  }
  const auto piece = body_rest_.substr(0, kPieceOctets);
  body_rest_.remove_prefix(piece.size());
  session_->body(piece);
  return true;
}

bool Outbound::offer_ready() {
  if (!can_send()) return false;
  const auto before = sent_;
  const auto alive = alive_;
  owner_.on_ready(*this);
  return *alive && (sent_ != before || phase_ == Phase::closing);
}

bool Outbound::can_send() const {
  if (phase_ != Phase::open || body_open_) return false;
  return parcels_.size() < (settings_.pipelining && session_->offered().pipelining ? kMostUnderWay : 1);
}

void Outbound::send(Parcel parcel) {
  ++sent_;
  session_->send(parcel.message);
  parcels_.push_back(std::move(parcel));
  pump();
}

void Outbound::close() {
  if (phase_ == Phase::closing || phase_ == Phase::over) return;
  if (phase_ != Phase::open) return over(smtp::Stage::connect, {221, "2.0.0 closed before the session began"});
  phase_ = Phase::closing;
  session_->quit();
  pump();
}

void Outbound::handle(const smtp::SendOctets& event) { connection_->write(event.octets); }

std::shared_ptr<const net::TlsContext> Outbound::tls_context() const {
  return settings_.tls ? settings_.tls() : nullptr;
}

void Outbound::handle(const smtp::Ready&) {
  const auto& offered = session_->offered();
  if (!connection_->is_tls() && hop_.tls != TlsMode::none && !host_.address.is_unix()) {
    if (offered.starttls && !without_tls_ && tls_context()) {
      session_->start_tls();
      return;
    }
    if (tls_required() && offered.starttls && !tls_context()) return over(smtp::Stage::hello, {451, kNoTlsHere});
    if (tls_required())
      return decline(
          without_tls(true, "7.4", concat({"TLS is required, and ", host_.host_name, " does not offer it"})));
    tell_of_tested_policy("TLS");
  }
  if (connection_->is_tls() && !verified()) tell_of_tested_policy("a certificate that verifies");
  if (hop_.requiretls && !meets_requiretls()) return;
  if (hop_.authenticate() && !authenticated_) return begin_authentication();
  if (phase_ != Phase::closing) phase_ = Phase::open;
}

void Outbound::handle(const smtp::StartTls&) {
  phase_ = Phase::tls;
  connection_->start_tls(tls_context(), tls_peer());
}

net::TlsPeer Outbound::tls_peer() const {
  net::TlsPeer peer{.hostname = host_.host_name, .verify = net::TlsPeer::Verify::none, .tlsa = {}, .alpn = {}};
  const bool sts = host_.sts == StsPolicy::Mode::enforce;
  if (hop_.tls == TlsMode::required || sts) peer.verify = net::TlsPeer::Verify::required;
  peer.dns_id_only = sts;  // RFC 8461 section 4.2
  if (host_.dane && !sts) peer.hostname = host_.dane->base;
  if (host_.dane && !host_.dane->records.empty()) {
    peer.verify = net::TlsPeer::Verify::dane;
    peer.alias = host_.dane->domain;
    peer.tlsa = host_.dane->records;
  }
  return peer;
}

void Outbound::handle(const smtp::TlsRefused& event) {
  without_tls_ = true;  // Ready follows
  if (tls_required())
    over(smtp::Stage::hello,
         without_tls(event.reply.permanent(), "7.4",
                     concat({"TLS is required, and ", host_.host_name, " refused it: ", event.reply.line()})));
}

/// What lacks TLS may have it at the next attempt; but a message with REQUIRETLS that no host takes goes back at once
/// (RFC 8689 section 4.2.1), unless the network was at fault.
/// @param for_good  the host has no TLS that will do, as far as it has a say
smtp::Reply Outbound::without_tls(bool for_good, std::string_view status, std::string_view text) const {
  if (hop_.requiretls && for_good) return {550, concat({"5.7.10 ", text})};
  return {451, concat({"4.", status, " ", text})};
}

/// Leaves a host that nothing may be sent to, politely.
void Outbound::decline(smtp::Reply why) {
  declined_ = std::move(why);
  phase_ = Phase::closing;
  session_->quit();
}

/// RFC 8689 section 4.2.1, steps 4 and 5. @return false: the session ends
bool Outbound::meets_requiretls() {
  const auto& host = host_.host_name;
  if (!connection_->is_tls())
    return decline({550, concat({"5.7.10 The message requires TLS, which is not used with ", host})}), false;
  if (!verified())
    return decline(
               {550, concat({"5.7.10 The message requires TLS, and the certificate of ", host, " does not verify"})}),
           false;
  if (session_->offered().requiretls) return true;
  decline({550, concat({"5.7.30 The message requires TLS on its whole way, which ", host,
                        " does not promise (REQUIRETLS)"})});
  return false;
}

/// A policy in mode `testing` would forbid what happens now (RFC 8461 section 5).
void Outbound::tell_of_tested_policy(std::string_view lacking) const {
  if (host_.sts != StsPolicy::Mode::testing) return;
  log_event(LogLevel::info, "mta-sts-mismatch",
            {{"domain", hop_.host}, {"host", host_.host_name}, {"mode", "testing"}, {"lacking", lacking}});
}

sasl::Channel Outbound::channel() const {
  sasl::Channel channel;
  channel.encrypted = connection_->is_tls() || host_.address.is_unix();
  if (connection_->is_tls()) {
    channel.tls_exporter = connection_->tls_exporter();
    channel.tls_server_end_point = connection_->tls_server_end_point();
  }
  return channel;
}

/// Read for each connection, so that a new password needs no restart.
Result<sasl::ClientCredentials> Outbound::credentials() const {
  constexpr std::uint64_t kMostPasswordOctets = 4096;
  sasl::ClientCredentials out;
  out.user = hop_.transport->auth_user;
  if (hop_.transport->auth_file.empty()) return out;
  MAIL_TRY(text, read_file_at(hop_.transport->auth_file, kMostPasswordOctets));
  out.password = sasl::Secret(std::string(trim(split_once(text, '\n').first)));
  sasl::cleanse(text);
  return out;
}

void Outbound::begin_authentication() {
  phase_ = Phase::authenticating;
  const auto binding = channel();
  const auto known = credentials();
  if (!known) {
    log_event(LogLevel::error, "password-unreadable", {{"reason", known.error().text}});
    return over(
        smtp::Stage::hello,
        {454, concat({"4.7.0 Cannot log in at ", host_.host_name, ": the file with the password cannot be read"})});
  }
  const auto mechanism = sasl::choose_mechanism(session_->offered().auth, *known, binding);
  auto exchange =
      mechanism ? sasl::begin_client(*mechanism, *known, binding)
                : Result<std::unique_ptr<sasl::ClientExchange>>(fail(Error::Kind::not_found, "no mechanism in common"));
  if (!exchange)
    return over(smtp::Stage::hello,
                {454, concat({"4.7.0 Cannot log in at ", host_.host_name, ": ", exchange.error().text,
                              binding.encrypted ? "" : " (without TLS no password is sent)"})});
  exchange_ = std::move(*exchange);
  const auto initial = exchange_->initial_response();
  session_->authenticate(*mechanism, initial ? std::optional<std::string_view>(*initial) : std::nullopt);
}

void Outbound::handle(const smtp::AuthChallenge& event) {
  if (!exchange_) return session_->auth_cancel();
  const auto response = exchange_->step(event.challenge);
  if (!response) return session_->auth_cancel();
  session_->auth_respond(*response);
}

void Outbound::handle(const smtp::AuthResult& event) {
  const bool proven = exchange_ && exchange_->succeeded();
  if (event.succeeded && proven) {
    authenticated_ = true;  // Ready follows
    exchange_.reset();
    return;
  }
  over(smtp::Stage::hello,
       {454, concat({"4.7.8 ", host_.host_name,
                     event.succeeded ? " did not prove that it knows the password" : " refused the log-in: ",
                     event.succeeded ? "" : event.reply.line()})});
}

void Outbound::handle(const smtp::BodyWanted&) {
  body_open_ = true;
  body_rest_ = parcels_.front().content;  // its results come in order, so the wanted content is the first one's
}

void Outbound::handle(smtp::MessageResult& event) {
  if (parcels_.empty()) return;
  auto parcel = std::move(parcels_.front());
  parcels_.pop_front();
  body_open_ = false;
  owner_.on_result(*this, std::move(parcel), std::move(event));
}

void Outbound::handle(const smtp::SessionOver& event) {
  if (declined_) return over(smtp::Stage::hello, *std::exchange(declined_, std::nullopt));
  if (event.by_quit) return over(event.stage, {221, "2.0.0 bye"});
  over(event.stage, event.reply);
}

void Outbound::arm_timeout() {
  if (!connection_ || !progress_) return;
  progress_ = false;
  if (phase_ == Phase::open && parcels_.empty()) return connection_->clear_timeout();
  const auto stage = session_->awaited();
  const auto limit = stage == smtp::Stage::end_of_data || stage == smtp::Stage::data ? settings_.data_timeout
                                                                                     : settings_.command_timeout;
  connection_->set_timeout(limit, [this] {
    // The time runs from the last whole reply: a host that sends an octet now and then does not move it.
    session_->disconnected(concat({host_.host_name, " did not answer in time"}));
    if (phase_ == Phase::tls || phase_ == Phase::authenticating)
      return over(smtp::Stage::hello, {451, concat({"4.4.2 ", host_.host_name, " did not answer in time"})});
    pump();
  });
}

void Outbound::over(smtp::Stage stage, smtp::Reply reply) {
  if (phase_ == Phase::over) return;
  phase_ = Phase::over;
  const auto alive = alive_;
  // Parcels that the session has not begun: back to the owner, untouched.
  while (!parcels_.empty()) {
    auto parcel = std::move(parcels_.front());
    parcels_.pop_front();
    smtp::MessageResult result;
    const auto word = reply.temporary() ? reply : smtp::Reply{451, "4.4.2 The session ended"};
    result.recipients.assign(parcel.message.recipients.size(), {word, smtp::Stage::local});
    owner_.on_result(*this, std::move(parcel), std::move(result));
    if (!*alive) return;
  }
  if (connection_) {
    connection_->clear_timeout();
    connection_->close_when_written();
  }
  owner_.on_over(*this, stage, std::move(reply));
}

bool Outbound::verified() const {
  const auto info = tls() ? connection_->tls_info() : std::nullopt;
  return info && info->peer_verified;
}

std::string Outbound::tls_description() const {
  if (!tls()) return {};
  const auto info = connection_->tls_info();
  if (!info) return {};
  const bool dane = host_.dane && !host_.dane->records.empty();
  const auto* by = dane ? " by DANE" : host_.sts == StsPolicy::Mode::enforce ? " by MTA-STS" : "";
  return concat({info->version, " ", info->cipher, info->peer_verified ? " verified" : " unverified",
                 info->peer_verified ? by : ""});
}

}  // namespace mail::relay
