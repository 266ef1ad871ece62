// A selected mailbox. Mailbox (one per process and mailbox) is shared; each session has a View: its sequence numbers,
// what it has been told, and what it may be told next. EXPUNGE reaches a session only through sync(), so sequence
// numbers never move under a command (RFC 9051 section 7.5.1).
#pragma once
#include <concepts>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/account.h"
#include "store/message_file.h"
#include "store/types.h"

namespace mail::store {

/// One change of flags, for STORE.
struct FlagChange {
  enum class How { replace, add, remove } how = How::add;
  UidSet uids;
  Flags flags = Flags::none;
  std::vector<std::string> keywords;  ///< New ones are made, up to kKeywordsMost.
  std::optional<ModSeq>
      unchanged_since;  ///< RFC 7162 section 3.1.3: messages changed later are left alone and reported.
};
struct FlagOutcome {
  std::vector<Uid> changed;  ///< Whose flags are different now, ascending.
  UidSet modified;           ///< Failed unchanged_since.
  UidSet gone;               ///< Expunged meanwhile.
  ModSeq modseq{};           ///< Of the change.
};

/// Where COPY and MOVE bring messages.
struct Destination {
  template <class Name>
  requires std::convertible_to<Name, std::string_view> Destination(const Name& name) : mailbox(name) {}
  Destination(std::string_view name, std::shared_ptr<Account> into) : mailbox(name), account(std::move(into)) {}

  std::string_view mailbox;
  std::shared_ptr<Account> account;  ///< Empty: the view's own.
  Flags flags = ~Flags::none;        ///< Those that messages may bring along (RFC 4314 section 4) …
  bool keywords = true;              ///< … and whether keywords are among them.
};

/// What changed since this view's last sync(), in the order in which IMAP sends it.
struct Changes {
  std::vector<SequenceNumber> expunged;  ///< As EXPUNGE sends them: each number is right after those before it were
                                         ///< sent. Only with expunges allowed.
  std::vector<Uid> expunged_uids;        ///< The same messages, for VANISHED.
  std::uint32_t exists = 0;              ///< Messages now.
  bool exists_changed = false;
  bool keywords_changed = false;  ///< A keyword was added: FLAGS and PERMANENTFLAGS anew.
  bool invalid = false;           ///< UIDVALIDITY changed or the mailbox is gone: the session must leave it.
  std::uint32_t recent = 0;
  std::vector<Uid> flags;  ///< Messages whose flags changed by others (not by this view), ascending.
  bool empty() const { return expunged.empty() && !exists_changed && flags.empty() && !keywords_changed && !invalid; }
};

/// What is finished in the index. The views are valid during the call that hands them out.
struct Summary {
  std::uint64_t octets = 0;          ///< RFC822.SIZE.
  bool header_fields_whole = true;   ///< False: header_fields had no room for all; read the message.
  bool is_reply_or_forward = false;  ///< The subject says so (RFC 5256 section 2.1).
  std::string_view
      envelope;  ///< The parenthesised list of RFC 9051, UTF-8 undecoded: as imap_envelope() of message/imap_text.h.
  std::string_view bodystructure;  ///< imap_bodystructure(); BODY is made from it or from the message.
  std::string_view body;           ///< The non-extensible form.
  std::string_view header_fields;  ///< The raw header fields whose names is_cached_field() knows, CRLF, in order.
  std::string_view email_id;       ///< OBJECTID (RFC 8474): the same for every copy.
  std::string_view thread_id;
  std::string_view preview;                      ///< RFC 8970; UTF-8.
  std::int64_t sent_date = 0;                    ///< Date header field, else internal date: seconds since 1970.
  std::string_view base_subject;                 ///< RFC 5256 section 2.1, case-folded.
  std::string_view sort_from, sort_to, sort_cc;  ///< addr-mailbox of the first address, case-folded (RFC 5256).
  std::string_view display_from, display_to;     ///< RFC 5957.
  std::string_view message_id, in_reply_to,
      references;  ///< Normalised ids, references separated by blanks (RFC 5256 THREAD).
  std::string_view search_from, search_to, search_cc, search_bcc,
      search_subject;  ///< Decoded, case-folded, for SEARCH.
};
/// How much of a Summary is wanted of a message that the index does not know.
enum class SummaryDepth {
  whole,
  header_and_size,  ///< Envelope, header fields, date, size.
  header,           ///< Those; the size only where it is known.
  envelope,         ///< The envelope alone.
  search_keys,      ///< What SEARCH, SORT and THREAD compare: texts, ids and dates.
};
/// Summaries that are read as they are asked for: View::read_summaries().
class SummaryReading {
 public:
  using Tell = std::function<bool(SequenceNumber, const MessageRow&, const Summary&)>;
  virtual ~SummaryReading() = default;
  /// [disk] Calls `tell` for the next messages, until it returns false. False where there are no more. What was read
  /// ahead waits for the next call, in bounded memory.
  virtual bool next(const Tell& tell) = 0;
};
/// True where the field (any case) is among those in Summary::header_fields, so that its absence there is its absence
/// in the message.
bool is_cached_field(std::string_view name);

class View {
 public:
  virtual ~View() = default;
  virtual const std::string& name() const = 0;
  virtual bool read_only() const = 0;
  virtual Account& account() = 0;

  // What SELECT reports. [memory]
  virtual std::uint32_t exists() const = 0;  ///< In this view.
  virtual std::uint32_t recent() const = 0;
  virtual Uid uid_next() const = 0;
  virtual UidValidity uid_validity() const = 0;
  virtual ModSeq highest_modseq() const = 0;  ///< Of what this view has been told: safe for a client to remember.
  virtual const std::string& mailbox_id() const = 0;
  virtual std::vector<std::string> keywords() const = 0;  ///< All of the mailbox; the index is the bit in KeywordBits.
  virtual bool may_add_keywords() const = 0;
  virtual std::optional<SequenceNumber> first_unseen() const = 0;

  // Numbers. [memory]
  virtual std::optional<Uid> uid(SequenceNumber number) const = 0;
  virtual std::optional<SequenceNumber> sequence(Uid uid) const = 0;  ///< nullopt: not in this view.
  virtual Uid last_uid() const = 0;                                   ///< What `*` means in a UID set; 0 where empty.
  /// UIDs in this view that are within the sets; `*` was replaced by the caller.
  virtual UidSet uids_of(SequenceNumber first, SequenceNumber last) const = 0;
  virtual UidSet existing(const UidSet& uids) const = 0;
  /// What the messages of `uids` that are still there count for in the quota.
  virtual QuotaUsage usage(const UidSet& uids) const = 0;

  // Messages. [memory]
  /// Calls `function(sequence number, row)` for the messages of `uids` in this view, ascending; stops where it returns
  /// false. Expunged messages that the view has not been told of yet are included (their rows are kept). Row.octets may
  /// be 0 (unknown) only before summaries were built.
  virtual void rows(const UidSet& uids,
                    const std::function<bool(SequenceNumber, const MessageRow&)>& function) const = 0;
  virtual std::optional<MessageRow> row(Uid uid) const = 0;
  /// Messages of the view whose modseq is above `since`. [memory]
  virtual UidSet changed_since(ModSeq since) const = 0;
  /// QRESYNC: UIDs expunged after `since`, limited to `within` (empty: all up to uid_next). Where history is too short:
  /// all absent UIDs (allowed). [memory]
  virtual UidSet vanished_since(ModSeq since, const UidSet& within) const = 0;
  /// Where `has_sizes` is false, call complete_sizes() on a worker before sending RFC822.SIZE.
  virtual bool has_sizes(const UidSet& uids) const = 0;
  virtual Status complete_sizes(const UidSet& uids) = 0;  ///< [disk] Several threads.

  // Content.
  virtual Result<std::shared_ptr<MessageFile>> open_message(
      Uid uid) = 0;  ///< [disk] not_found: expunged, and its file is gone.
  /// The same where the kernel has all of it in memory and it has no more than `most` octets, without waiting for the
  /// disk; else nothing, and open_message() says why.
  virtual std::shared_ptr<MessageFile> cached_message(Uid uid, std::size_t most) = 0;
  /// True where all summaries of `uids` are in the index, so that summaries() needs no disk.
  virtual bool has_summaries(const UidSet& uids) const = 0;
  virtual Status complete_summaries(
      const UidSet& uids) = 0;  ///< [disk] Parses what is missing, several threads; hostile messages in bounded time.
  /// Calls `function(sequence number, row, summary)`; messages without a summary are skipped. [memory; page faults]
  virtual void summaries(
      const UidSet& uids,
      const std::function<bool(SequenceNumber, const MessageRow&, const Summary&)>& function) const = 0;

  /// As summaries(), and those that are not in the index are read on the way, in several threads, a little ahead of who
  /// takes them: the first answers of a first visit need not wait for the last.
  /// What is read of headers alone is not kept, unless nothing else makes the index.
  /// @return  to be asked while the view is there
  virtual std::unique_ptr<SummaryReading> read_summaries(const UidSet& uids, SummaryDepth depth) const = 0;

  /// As summaries(), but with the fields for sorting, threading and searching only (all but envelope, structures,
  /// header fields, ids and preview): they are kept in memory, so that a SORT or SEARCH FROM of a large mailbox costs a
  /// pass over them.
  virtual void keys(const UidSet& uids,
                    const std::function<bool(SequenceNumber, const MessageRow&, const Summary&)>& function) const {
    summaries(uids, function);
  }

  // Changes. [disk] Durable when they return.
  virtual Result<FlagOutcome> store_flags(const FlagChange& change) = 0;
  /// Removes those of `uids` (nullptr: all) that have \Deleted. The view hears of it at its next sync() as of others'
  /// expunges.
  virtual Result<UidSet> expunge(const UidSet* uids) = 0;
  virtual Result<CopyOutcome> copy(const UidSet& uids,
                                   const Destination& to) = 0;  ///< not_found: TRYCREATE. Unknown UIDs are ignored.
  virtual Result<CopyOutcome> move(const UidSet& uids, const Destination& to) = 0;  ///< All or nothing (RFC 6851).

  // Others' changes.
  /// [disk, cheap] Takes in what other programs did to the Maildir and the index. Nothing to do with this view's
  /// numbers.
  virtual Status refresh() = 0;
  /// [memory, a few fstat] False where refresh() has nothing to do.
  virtual bool stale() const = 0;
  /// [memory] Brings this view up to date with the mailbox; without `expunges_allowed` (during FETCH, STORE, SEARCH)
  /// expunged messages stay.
  virtual Changes sync(bool expunges_allowed) = 0;
  /// Calls back (on a thread of the store) when the mailbox changed, by this process or another one: then post to the
  /// loop and sync(). Hint only: several changes may be one call. An empty function ends it; when set_notify returns no
  /// call is running any more.
  virtual void set_notify(std::function<void()> changed) = 0;

  // SEARCH. [disk] unless said otherwise; `within` limits the messages looked at.
  struct TextQuery {
    enum class Where { from, to, cc, bcc, subject, header, body, text } where = Where::text;
    std::string field;  ///< For `header`: the field's name.
    std::string
        needle;  ///< UTF-8 as the client gave it; folded here. Empty matches every message (that has the field).
  };
  /// True where search_text needs no message file: address and subject queries over complete summaries. [memory]
  virtual bool search_ready(const TextQuery& query, const UidSet& within) const = 0;
  /// The messages whose decoded, case-folded text contains the needle: exact, whatever an index says.
  virtual Result<UidSet> search_text(const TextQuery& query, const UidSet& within) = 0;
};

}  // namespace mail::store
