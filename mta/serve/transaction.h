// One mail transaction as serve collects it: sender, recipients with what the router said, and the spool entries it
// becomes.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "route/router.h"
#include "smtp/extensions.h"
#include "spool/writer.h"

namespace mail::mta {

class Transaction {
 public:
  /// `envelope` has id, arrival and what is known of the client; the rest comes from MAIL.
  void begin(spool::Envelope envelope, const smtp::MailArguments& mail);
  /// Adds what a route leads to; `route` has no refusal.
  void add(const smtp::RcptArguments& rcpt, const route::Route& route);
  /// Adds who gets a copy by the rewriting rules: nobody is told what becomes of it, and the sender does not learn.
  void add_copy(const route::Route& route);
  /// The message goes there, and no longer to those that were asked for; copies stay.
  void redirect(const smtp::RcptArguments& to, const route::Route& route);
  bool open() const { return open_; }
  void reset();

  const MessageId& id() const { return envelope_.id; }
  const std::string& reverse_path() const { return envelope_.reverse_path; }
  const spool::Envelope& envelope() const { return envelope_; }
  bool has_remote() const { return !remote_.empty(); }
  std::size_t local_count() const { return local_.size(); }
  std::size_t remote_count() const { return remote_.size(); }
  /// The only RCPT, for Received's `for`; empty where there were several.
  std::string_view only_recipient() const { return asked_ == 1 ? std::string_view(first_asked_) : std::string_view(); }
  /// "a@b,c@d,…" for the log, at most ten.
  const std::string& logged_recipients() const { return logged_; }
  /// The envelope for box local and the one for box queue, whichever have recipients. A message that is held back is
  /// the queue's in whole.
  std::vector<spool::Entry> entries() const;
  void
  found_eight_bit();  ///< The client sent 8-bit text without saying so (clients.md: Exim): the next host must know.
  void found_tls_optional();  ///< The header says TLS-Required: No; REQUIRETLS stands above it (RFC 8689 section 4.1).
  void cap_priority(int most);

  // What filters and policy servers change.
  void keep_asked() { keep_asked_ = true; }  ///< Before the first add(): remove() will be asked for.
  /// Takes back what RCPT (or a filter) had named; false where nobody had.
  bool remove(std::string_view forward_path);
  void set_reverse_path(std::string path) { envelope_.reverse_path = std::move(path); }
  /// The whole message goes to box hold (quarantine).
  void hold() { hold_ = true; }
  /// The envelope's protocol word, known when the message begins.
  void set_protocol(std::string word) { envelope_.protocol = std::move(word); }

 private:
  void add_targets(spool::Recipient recipient, const route::Route& route);

  bool open_ = false;
  spool::Envelope envelope_;
  std::vector<spool::Recipient> local_, remote_;
  std::unordered_set<std::string> seen_;
  struct Asked {
    smtp::RcptArguments rcpt;
    route::Route route;
  };
  void place(const smtp::RcptArguments& rcpt, const route::Route& route);
  void place_copy(const route::Route& route);
  void place_all();
  std::vector<Asked> kept_;  // only where keep_asked()
  std::vector<route::Route> copies_;
  bool keep_asked_ = false;
  bool hold_ = false;
  std::size_t asked_ = 0;
  std::string first_asked_, logged_;
};

}  // namespace mail::mta
