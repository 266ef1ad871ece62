// Which messages of the selected mailbox a search program means.
#pragma once
#include "imap/search_program.h"
#include "imapd/command.h"
#include "store/mailbox.h"

namespace mail::imapd {

class Session;

class SearchEvaluator {
 public:
  explicit SearchEvaluator(Session& session);
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

  Session& session_;
  store::View& view_;
  std::int64_t now_;
};

/// All messages of the view.
store::UidSet everything(const store::View& view);
/// Every string of the program to UTF-8; completion of BAD or NO [BADCHARSET] where that cannot be.
std::optional<Completion> decode_charset(imap::SearchKey& key, const std::string& charset);
/// True where the program asks for mod-sequences: it enables CONDSTORE, and the answer carries MODSEQ.
bool asks_for_modseq(const imap::SearchKey& key);

}  // namespace mail::imapd
