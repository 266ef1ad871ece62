// Which messages of the selected mailbox a search program means.
#pragma once
#include "imap/search_program.h"
#include "imapd/command.h"
#include "store/mailbox.h"

namespace mail::imapd {

class Session;

class SearchEvaluator {
 public:
  explicit SearchEvaluator(Session& session);                  ///< Of the selected mailbox.
  SearchEvaluator(const Session& session, store::View& view);  ///< Of another one: there is no `$`.
  /// False where evaluate() would read files: then it belongs on a worker.
  bool ready(const imap::SearchKey& key, const store::UidSet& within) const;
  /// Those of `within` that match. Error: not to be evaluated (unknown filter), or files cannot be read.
  Result<store::UidSet> evaluate(const imap::SearchKey& key, const store::UidSet& within);

 private:
  using Row = std::function<bool(store::SequenceNumber, const store::MessageRow&)>;
  using Summarised = std::function<bool(const store::MessageRow&, const store::Summary&)>;
  store::UidSet rows_where(const store::UidSet& within, const Row& matches) const;
  Result<store::UidSet> summaries_where(const store::UidSet& within, const Summarised& matches);
  Result<store::UidSet> all_of(const imap::SearchKey& key, store::UidSet within);
  Result<store::UidSet> by_flag(const imap::SearchKey& key, const store::UidSet& within) const;
  Result<store::UidSet> by_date(const imap::SearchKey& key, const store::UidSet& within);
  Result<store::UidSet> by_text(const imap::SearchKey& key, const store::UidSet& within);
  Result<store::UidSet> by_set(const imap::SearchKey& key, const store::UidSet& within);
  Result<store::UidSet> by_size(const imap::SearchKey& key, const store::UidSet& within);

  const Session& session_;
  store::View& view_;
  store::UidSet saved_;
  std::vector<std::string> keywords_;
  std::int64_t now_;
};

/// UIDONLY (RFC 9586 section 3.4): message numbers are refused in search keys too; `$` is none.
std::optional<Completion> refuse_numbers(Session& session, const imap::SearchKey& key);

/// All messages of the view.
store::UidSet everything(const store::View& view);
/// Every string of the program to UTF-8; completion of BAD or NO [BADCHARSET] where that cannot be.
std::optional<Completion> decode_charset(imap::SearchKey& key, const std::string& charset);
/// Puts stored searches in the place of FILTER keys (RFC 5466): on a worker, where there are any. Completion: BAD where
/// the charset forbids it, NO [UNDEFINED-FILTER], or where to go on.
std::optional<Completion> insert_filters(Session& session, imap::SearchKey& key, const std::string& charset);
/// A stored search as SETMETADATA gets it. syntax: it is none.
Result<imap::SearchKey> parse_filter(std::string_view text);
/// True where the program asks for mod-sequences: it enables CONDSTORE, and the answer carries MODSEQ.
bool asks_for_modseq(const imap::SearchKey& key);

}  // namespace mail::imapd
