// A session's view of a Mailbox: which rows it has been told of, and therefore what its sequence numbers mean.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "store/mailbox.h"
#include "store/mailbox_core.h"

namespace mail::store {

class SessionView final : public View {
 public:
  SessionView(std::shared_ptr<Mailbox> mailbox, std::shared_ptr<Account> account, bool read_only, UidRange recent);
  ~SessionView() override;

  const std::string& name() const override { return mailbox_->name(); }
  bool read_only() const override { return read_only_; }
  Account& account() override { return *account_; }
  std::uint32_t exists() const override;
  std::uint32_t recent() const override;
  Uid uid_next() const override;
  UidValidity uid_validity() const override { return uid_validity_; }
  ModSeq highest_modseq() const override { return told_modseq_; }
  const std::string& mailbox_id() const override { return mailbox_id_; }
  std::vector<std::string> keywords() const override;
  bool may_add_keywords() const override;
  std::optional<SequenceNumber> first_unseen() const override;

  std::optional<Uid> uid(SequenceNumber number) const override;
  std::optional<SequenceNumber> sequence(Uid uid) const override;
  Uid last_uid() const override;
  UidSet uids_of(SequenceNumber first, SequenceNumber last) const override;
  UidSet existing(const UidSet& uids) const override;

  void rows(const UidSet& uids, const std::function<bool(SequenceNumber, const MessageRow&)>& function) const override;
  std::optional<MessageRow> row(Uid uid) const override;
  UidSet changed_since(ModSeq since) const override;
  UidSet vanished_since(ModSeq since, const UidSet& within) const override;
  bool has_sizes(const UidSet& uids) const override;
  Status complete_sizes(const UidSet& uids) override;
  Result<std::shared_ptr<MessageFile>> open_message(Uid uid) override;
  std::shared_ptr<MessageFile> cached_message(Uid uid, std::size_t most) override;
  bool has_summaries(const UidSet& uids) const override;
  Status complete_summaries(const UidSet& uids) override;
  void summaries(const UidSet& uids,
                 const std::function<bool(SequenceNumber, const MessageRow&, const Summary&)>& function) const override;

  std::unique_ptr<SummaryReading> read_summaries(const UidSet& uids, SummaryDepth depth) const override;
  void keys(const UidSet& uids,
            const std::function<bool(SequenceNumber, const MessageRow&, const Summary&)>& function) const override;

  Result<FlagOutcome> store_flags(const FlagChange& change) override;
  Result<UidSet> expunge(const UidSet* uids) override;
  QuotaUsage usage(const UidSet& uids) const override;
  Result<CopyOutcome> copy(const UidSet& uids, const Destination& to) override;
  Result<CopyOutcome> move(const UidSet& uids, const Destination& to) override;

  Status refresh() override { return mailbox_->refresh(); }
  bool stale() const override { return mailbox_->stale(); }
  Changes sync(bool expunges_allowed) override;
  void set_notify(std::function<void()> changed) override { mailbox_->set_notify(*this, std::move(changed)); }

  bool search_ready(const TextQuery& query, const UidSet& within) const override;
  Result<UidSet> search_text(const TextQuery& query, const UidSet& within) override;

  // For Mailbox.
  std::uint64_t origin() const { return origin_; }
  std::uint64_t told_notices() const { return told_notices_; }
  /// True where this view has been told of every expunge, so that tombstones may go.
  bool knows_all(const Image& image) const {
    return hidden_ == image.tombstones() || hidden_->size() == image.tombstones()->size();
  }
  void before_compact(const Image& image);
  void after_compact(const Image& image);

 private:
  friend class SummaryReader;
  /// Calls function(row, sequence number) for the view's rows within the sets; stops at false. Under the shared image
  /// lock.
  template <class Function>
  void for_rows(const UidSet& uids, Function&& function) const;
  template <class Read>
  void each_summary(const UidSet& uids, Read&& read,
                    const std::function<bool(SequenceNumber, const MessageRow&, const Summary&)>& function) const;
  RowNumber row_of(SequenceNumber number) const;
  std::uint32_t hidden_before(RowNumber row) const;
  bool hidden(RowNumber row) const;
  Result<UidSet> search_headers(const std::string& field, const std::string& needle, const UidSet& within);
  Result<UidSet> search_bodies(bool with_header, const std::string& needle, const UidSet& within);
  Result<CopyOutcome> transfer(const UidSet& uids, const Destination& to, bool move);
  MessageRow message(RowNumber row) const;
  bool valid() const { return epoch_ == mailbox_->epoch(); }

  std::shared_ptr<Mailbox> mailbox_;
  std::shared_ptr<Account> account_;
  bool read_only_;
  UidRange recent_;  // [first, last): \Recent in this view
  std::uint64_t origin_;
  std::uint64_t epoch_;
  UidValidity uid_validity_{};
  std::string mailbox_id_;
  // What the session has been told.
  RowNumber visible_ = 0;                                 // rows of the image
  std::shared_ptr<const std::vector<RowNumber>> hidden_;  // of these, expunged ones
  std::uint64_t told_notices_ = 0;
  ModSeq told_modseq_{};
  std::uint32_t told_keywords_ = 0;
  std::uint32_t exists_ = 0;
};

template <class Function>
void SessionView::for_rows(const UidSet& uids, Function&& function) const {
  if (!valid()) return;
  const auto& image = mailbox_->image();
  for (const auto& range : uids.ranges()) {
    auto row = image.lower_bound(range.first);
    if (row >= visible_) return;
    auto gone = std::lower_bound(hidden_->begin(), hidden_->end(), row);
    auto before = static_cast<std::uint32_t>(gone - hidden_->begin());
    for (; row < visible_ && image.uid(row) <= range.last; ++row) {
      if (gone != hidden_->end() && *gone == row) {
        ++gone, ++before;
        continue;
      }
      if (!function(row, static_cast<SequenceNumber>(row + 1 - before))) return;
    }
  }
}

}  // namespace mail::store
