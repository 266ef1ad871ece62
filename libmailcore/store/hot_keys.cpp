#include "store/hot_keys.h"

#include <algorithm>
#include <array>

#include "store/octets.h"

namespace mail::store {

namespace {

/// More is not kept: the summaries are then read each time.
constexpr std::size_t kOctetsMost = 256U << 20;

constexpr std::array kTexts{&Summary::base_subject, &Summary::sort_from,     &Summary::sort_to,
                            &Summary::sort_cc,      &Summary::display_from,  &Summary::display_to,
                            &Summary::message_id,   &Summary::in_reply_to,   &Summary::references,
                            &Summary::search_from,  &Summary::search_to,     &Summary::search_cc,
                            &Summary::search_bcc,   &Summary::search_subject};

void clear(std::vector<Uid>& uids, std::vector<std::size_t>& at, std::string& octets) {
  uids = {};
  at = {};
  octets = {};
}

}  // namespace

void HotKeys::use_epoch(std::uint64_t epoch) {
  if (epoch == epoch_) return;
  epoch_ = epoch;
  clear(uids_, at_, octets_);
}

std::optional<Summary> HotKeys::find(Uid uid) {
  if (last_ + 1 < uids_.size() && uids_[last_ + 1] == uid)
    ++last_;
  else
    last_ = static_cast<std::size_t>(std::lower_bound(uids_.begin(), uids_.end(), uid) - uids_.begin());
  if (last_ >= uids_.size() || uids_[last_] != uid) return std::nullopt;
  Reader in(std::string_view(octets_).substr(at_[last_]));
  Summary out;
  out.octets = in.get<std::uint64_t>();
  out.is_reply_or_forward = in.get<std::uint8_t>() != 0;
  out.sent_date = in.get<std::int64_t>();
  for (const auto text : kTexts) out.*text = in.text();
  return out;
}

void HotKeys::add(Uid uid, const Summary& summary) {
  // Out of order: rare (a message's summary was missing before), and begun anew.
  if (octets_.size() > kOctetsMost || (!uids_.empty() && uid <= uids_.back())) clear(uids_, at_, octets_);
  uids_.push_back(uid);
  at_.push_back(octets_.size());
  put(octets_, summary.octets);
  put(octets_, static_cast<std::uint8_t>(summary.is_reply_or_forward));
  put(octets_, summary.sent_date);
  for (const auto text : kTexts) put_text(octets_, summary.*text);
}

}  // namespace mail::store
