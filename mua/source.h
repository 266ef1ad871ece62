// Where mail is read: one interface for a Maildir, an IMAP server and a POP3 server.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "imap/client_session.h"
#include "message/address.h"
#include "message/date.h"
#include "mua/connection.h"

namespace mail::mua {

/// What a list shows of a message.
struct Item {
  std::uint32_t id = 0;            ///< UID; with POP3 the message's number in this session.
  std::vector<std::string> flags;  ///< "seen", "answered", "flagged", "deleted", "draft", and keywords.
  std::optional<message::DateTime> date;
  std::vector<message::Address> from, to, cc;
  std::string subject;      ///< Decoded.
  std::string message_id;   ///< Without angle brackets.
  std::string in_reply_to;  ///< Likewise; the first.
  std::uint64_t octets = 0;
  bool has(std::string_view flag) const;
};

struct Folder {
  std::string name;
  bool selectable = true;
  bool subscribed = false;
  std::string special_use;  ///< "\\Sent", …
  std::optional<std::uint32_t> messages, unseen;
};

/// A set of ids as people type it: "3", "5:9", "1,4,7:*", "last", "all". '*' and "last" are the highest id.
class IdSet {
 public:
  static Result<IdSet> parse(std::string_view text);
  bool contains(std::uint32_t id, std::uint32_t last) const;
  /// For UID commands of IMAP.
  std::string imap() const;
  static constexpr std::uint32_t kLast = UINT32_MAX;
  const std::vector<std::pair<std::uint32_t, std::uint32_t>>& ranges() const { return ranges_; }

 private:
  std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges_;
};

/// All conditions must hold.
struct Query {
  std::vector<std::string> text, body, subject, from, to;
  std::optional<std::chrono::sys_days> since, before;
  std::vector<std::string> with_flags, without_flags;
  std::optional<std::uint64_t> larger, smaller;
};

class Source {
 public:
  virtual ~Source() = default;
  virtual Result<std::vector<Folder>> folders(bool with_counts) = 0;
  /// Opens a folder; read-only access changes nothing, \Seen included.
  virtual Status open(const std::string& folder, bool read_only) = 0;
  virtual Result<std::vector<std::uint32_t>> ids() = 0;
  virtual Result<std::vector<Item>> items(const std::vector<std::uint32_t>& ids) = 0;
  /// The whole message; line ends as they come.
  virtual Result<std::string> fetch(std::uint32_t id) = 0;
  virtual Result<std::vector<std::uint32_t>> search(const Query& query) = 0;
  virtual Status flag(const std::vector<std::uint32_t>& ids, const std::vector<std::string>& add,
                      const std::vector<std::string>& remove) = 0;
  virtual Status copy(const std::vector<std::uint32_t>& ids, const std::string& folder) = 0;
  virtual Status move(const std::vector<std::uint32_t>& ids, const std::string& folder) = 0;
  /// For good.
  virtual Status remove(const std::vector<std::uint32_t>& ids) = 0;
  virtual Status append(const std::string& folder, std::string_view message, const std::vector<std::string>& flags) = 0;
  /// Waits until something changes in the open folder; permanent where that is not known how.
  virtual Status wait_for_change() { return fail(Error::Kind::permanent, "this kind of mailbox cannot be watched"); }
};

Result<std::unique_ptr<Source>> open_maildir(const std::string& path);
Result<std::unique_ptr<Source>> open_imap(const Login& login);
Result<std::unique_ptr<Source>> open_pop3(const Login& login);

/// The ids of `all` (ascending) that are in the set.
std::vector<std::uint32_t> select_ids(const IdSet& set, const std::vector<std::uint32_t>& all);
/// From a header: what POP3 has, and Maildirs without index.
Item item_from_header(std::string_view header);
/// Whether one message answers to a query: for sources that cannot search themselves.
bool matches(const Query& query, const Item& item, std::string_view message);
/// From IMAP's ENVELOPE, parsed.
Status fill_from_envelope(Item& item, const imap::Value& envelope);

}  // namespace mail::mua
