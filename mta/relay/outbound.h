// One connection to one host: connects, greets, turns to TLS, logs in, then takes one message after the other.
// Runs on one loop; the protocol is smtp::ClientSession's.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "config/settings.h"
#include "mta/relay/client_tls.h"
#include "mta/relay/targets.h"
#include "net/connection.h"
#include "net/connector.h"
#include "sasl/client.h"
#include "smtp/client_session.h"

namespace mail::relay {

struct OutboundSettings {
  std::string host_name;  ///< Behind EHLO.
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(30);
  std::chrono::milliseconds command_timeout = std::chrono::seconds(300);
  std::chrono::milliseconds data_timeout =
      std::chrono::seconds(600);  ///< For the reply to the final dot (RFC 5321 section 4.5.3.2.6).
  ClientTls tls;                  ///< Empty: never TLS.
  config::Strings source;         ///< Addresses to connect from, where the hop's transport names none.
  bool chunking = true;
  bool pipelining = true;
};

/// A transaction for Outbound::send(). `content` is valid until its result was reported, which `keep` may see to.
struct Parcel {
  smtp::OutgoingMessage message;
  std::string_view content;    ///< Header, empty line, body with CRLF.
  std::shared_ptr<void> keep;  ///< Released after the result.
  std::uint64_t tag = 0;       ///< The owner's.
};

class Outbound final : private net::Connection::Handler {
 public:
  /// What the owner is told, always from the loop. An owner may destroy the connection in any of these but on_ready().
  class Owner {
   public:
    virtual ~Owner() = default;
    /// The connection can take a message: at first after greeting, TLS and AUTH; then whenever can_send() became true
    /// again.
    virtual void on_ready(Outbound& connection) = 0;
    /// The final word for each recipient of a parcel, in the order of sending.
    virtual void on_result(Outbound& connection, Parcel parcel, smtp::MessageResult result) = 0;
    /// The connection is of no more use; all parcels have had their result before. `stage` connect: the host could not
    /// be reached, or greeted us with `reply`. After close() the reply is 221.
    virtual void on_over(Outbound& connection, smtp::Stage stage, smtp::Reply reply) = 0;
  };

  /// Begins to connect.
  Outbound(net::Loop& loop, const OutboundSettings& settings, NextHop hop, HostAddress host, Owner& owner);
  ~Outbound() override;
  Outbound(const Outbound&) = delete;
  Outbound& operator=(const Outbound&) = delete;

  /// True where send() may be called: connected, and no more than a few parcels wait for their result (RFC 2920 lets
  /// the next transaction follow the final dot).
  bool can_send() const;
  void send(Parcel parcel);
  /// Says QUIT when all results are there; on_over() comes.
  void close();
  const HostAddress& host() const { return host_; }
  const NextHop& hop() const { return hop_; }
  /// As far as EHLO has come.
  const smtp::Offered& offered() const { return session_->offered(); }
  bool tls() const { return connection_ && connection_->is_tls(); }
  bool verified() const;  ///< By TLS, with a certificate for the host's name that a trusted authority has signed.
  /// The message may be sent with REQUIRETLS (RFC 8689 section 2).
  bool takes_requiretls() const { return verified() && host_.authentic && offered().requiretls; }
  /// "TLSv1.3 TLS_AES_256_GCM_SHA384 verified", "... verified by DANE", "... by MTA-STS", "TLSv1.2 … unverified", empty
  /// in clear.
  std::string tls_description() const;
  std::size_t under_way() const { return parcels_.size(); }
  std::uint64_t sent() const { return sent_; }

 private:
  enum class Phase { connecting, greeting, tls, authenticating, open, closing, over };
  static constexpr std::size_t kMostUnderWay = 4;
  static constexpr std::size_t kPieceOctets = 64 * 1024;

  void on_octets(std::string_view octets) override;
  void on_drained() override;
  void on_tls_started() override;
  void on_closed(net::CloseReason reason) override;

  void connect();
  void connected(Result<std::unique_ptr<net::Connection>> connection);
  void pump();
  void handle(const smtp::Ready&);
  void handle(const smtp::StartTls&);
  void handle(const smtp::TlsRefused& event);
  void handle(const smtp::AuthChallenge& event);
  void handle(const smtp::AuthResult& event);
  void handle(const smtp::BodyWanted&);
  void handle(smtp::MessageResult& event);
  void handle(const smtp::SessionOver& event);
  void handle(const smtp::SendOctets& event);
  std::shared_ptr<const net::TlsContext> tls_context() const;
  bool tls_required() const {
    return hop_.tls == TlsMode::required || host_.dane || host_.sts == StsPolicy::Mode::enforce;
  }
  void tell_of_tested_policy(std::string_view lacking) const;
  bool meets_requiretls();
  void decline(smtp::Reply why);
  smtp::Reply without_tls(bool for_good, std::string_view status, std::string_view text) const;
  net::TlsPeer tls_peer() const;
  void begin_authentication();
  bool feed_body();
  void arm_timeout();
  void over(smtp::Stage stage, smtp::Reply reply);
  bool offer_ready();
  sasl::Channel channel() const;
  Result<sasl::ClientCredentials> credentials() const;

  net::Loop& loop_;
  const OutboundSettings& settings_;
  NextHop hop_;
  HostAddress host_;
  Owner& owner_;
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<net::Connection> connection_;
  std::unique_ptr<smtp::ClientSession> session_;
  std::unique_ptr<sasl::ClientExchange> exchange_;
  std::deque<Parcel> parcels_;  // sent, result not there yet
  std::string_view body_rest_;  // of the parcel whose content is going out
  bool body_open_ = false;
  Phase phase_ = Phase::connecting;
  bool without_tls_ = false;  // the handshake failed once, and the mode is opportunistic
  bool authenticated_ = false;
  bool pumping_ = false;
  bool progress_ = false;                // an event since the time limit was set
  std::optional<smtp::Reply> declined_;  // why nothing is sent here; QUIT is on its way
  std::uint64_t sent_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mail::relay
