#include "imapd/contexts.h"

#include <algorithm>
#include <functional>
#include <unordered_map>

#include "base/log.h"
#include "base/strings.h"
#include "imapd/commands/fetch.h"
#include "imapd/search_evaluator.h"
#include "imapd/session.h"
#include "imapd/uid_sets.h"

namespace mail::imapd {
namespace {

/// From a UID to what the client knows the message by.
using NumberOf = std::function<std::uint32_t(std::uint32_t)>;

NumberOf numbers_now(Session& session, const SearchContext& context) {
  if (context.uids) return [](std::uint32_t uid) { return uid; };
  return [&session](std::uint32_t uid) {
    const auto number = session.view().sequence(store::Uid{uid});
    return number ? store::number(*number) : 0;
  };
}

void append_set(std::string& out, const store::UidSet& uids, const NumberOf& number_of) {
  imap::NumberSet numbers;
  uids.for_each([&](store::Uid uid) { numbers.add(number_of(store::number(uid))); });
  numbers.append_to(out);
}

/// `(0 4:7)`, a SEARCH; or for SORT `(3 8,5 1 2)`: the members of `order` that are in `uids`, each run of neighbours
/// with the position of its first. `from_end`: the last run first, so that removing it moves none of the others.
void append_positions(std::string& out, const SearchContext& context, const store::UidSet& uids, bool from_end,
                      const NumberOf& number_of) {
  out += '(';
  if (context.sort.empty()) {
    out += "0 ";
    append_set(out, uids, number_of);
    out += ')';
    return;
  }
  std::vector<std::string> runs;
  for (std::size_t i = 0; i < context.order.size(); ++i) {
    if (!uids.contains(store::Uid{context.order[i]})) continue;
    std::string run = decimal(i + 1) + " ";
    for (;; ++i) {
      append_decimal(run, number_of(context.order[i]));
      if (i + 1 == context.order.size() || !uids.contains(store::Uid{context.order[i + 1]})) break;
      run += ',';
    }
    runs.push_back(std::move(run));
  }
  if (from_end) std::ranges::reverse(runs);
  out += join(runs, " ") + ")";
}

std::string correlator(const SearchContext& context) {
  return concat({"ESEARCH (TAG \"", context.tag, "\")", context.uids ? " UID" : ""});
}

void remove_from(SearchContext& context, const store::UidSet& gone) {
  context.found = difference(context.found, gone);
  std::erase_if(context.order, [&](std::uint32_t uid) { return gone.contains(store::Uid{uid}); });
}

}  // namespace

/// Tells one context after the other what changed.
class ContextUpdates final : public Work {
 public:
  explicit ContextUpdates(SearchContexts& contexts) : contexts_(contexts.contexts_) {}

  Completion step(Session& session) override {
    while (next_ < contexts_.size()) {
      auto& context = contexts_[next_];
      if (!looked_) {
        if (must_wait(session, context)) return on_worker();
        if (auto done = look(session, context); !done) {
          give_up(session, done.error());
          continue;
        }
        looked_ = true;
      }
      if (fetching_) {
        const auto kind = fetching_->step(session).kind;
        if (kind == Completion::Kind::worker) return on_worker();
        if (kind == Completion::Kind::more) return more();
        fetching_.reset();
      }
      tell(session, context);
      ++next_;
      looked_ = false;
    }
    return ok({});
  }

 private:
  static bool must_wait(Session& session, const SearchContext& context) {
    if (session.may_block()) return false;
    const auto& view = session.view();
    const auto changed = view.changed_since(context.checked);
    if (changed.empty()) return false;
    const bool sorts = !context.sort.empty();
    return !SearchEvaluator(session).ready(context.key, changed) ||
           (sorts && !(session.environment().columns->ready(session.view(), changed) &&
                       (!sorts_by_size(context.sort) || view.has_sizes(changed))));
  }

  /// What is new and what no longer matches; makes fetching_ where the client wants to see new messages.
  Status look(Session& session, SearchContext& context) {
    auto& view = session.view();
    gone_ = fresh_ = {};
    const auto up_to = view.highest_modseq();
    const auto changed = view.changed_since(context.checked);
    if (changed.empty()) {
      context.checked = up_to;
      return {};
    }
    SearchEvaluator evaluator(session);
    MAIL_TRY(matching, matches(evaluator, view, context, changed));
    const auto known = intersection(context.found, changed);
    gone_ = difference(known, matching);
    fresh_ = difference(matching, known);
    const auto arrived = above(fresh_, context.last);
    context.checked = up_to;
    context.last = view.last_uid();
    if (!context.wanted.empty() && !arrived.empty()) fetching_ = fetch_unsolicited(session, context.wanted, arrived);
    return {};
  }

  static Result<store::UidSet> matches(SearchEvaluator& evaluator, store::View& view, const SearchContext& context,
                                       const store::UidSet& changed) {
    MAIL_TRY(matching, evaluator.evaluate(context.key, changed));
    if (sorts_by_size(context.sort) && !view.has_sizes(matching)) MAIL_CHECK(view.complete_sizes(matching));
    return std::move(matching);
  }

  /// What cannot be evaluated any more is not kept up to date: the client hears of it and may search again.
  void give_up(Session& session, const Error& error) {
    const auto at = contexts_.begin() + static_cast<std::ptrdiff_t>(next_);
    log_event(LogLevel::warning, "context_failed", {{"user", session.user()}, {"error", error.text}});
    session.untagged(concat({"NO [NOUPDATE \"", at->tag, "\"] The search is not possible any more"}));
    contexts_.erase(at);
  }

  void tell(Session& session, SearchContext& context) {
    if (gone_.empty() && fresh_.empty()) return;
    const auto number_of = numbers_now(session, context);
    auto text = correlator(context);
    if (!gone_.empty()) {
      text += " REMOVEFROM ";
      append_positions(text, context, gone_, true, number_of);
      remove_from(context, gone_);
    }
    if (!fresh_.empty()) {
      context.found = sum(context.found, fresh_);
      if (!context.sort.empty())
        context.order = session.environment()
                            .columns->of(session.view(), context.found)
                            ->sorted(context.sort, session.view(), context.found, true);
      text += " ADDTO ";
      append_positions(text, context, fresh_, false, number_of);
    }
    session.untagged(text);
  }

  std::vector<SearchContext>& contexts_;
  std::size_t next_ = 0;
  bool looked_ = false;  ///< At contexts_[next_]: gone_, fresh_ and fetching_ are its.
  std::unique_ptr<Work> fetching_;
  store::UidSet gone_, fresh_;
};

bool SearchContexts::uses(std::string_view tag) const {
  return std::ranges::any_of(contexts_, [&](const SearchContext& context) { return context.tag == tag; });
}

bool SearchContexts::add(SearchContext context) {
  std::size_t sorted = context.order.size();
  for (const auto& other : contexts_) sorted += other.order.size();
  if (contexts_.size() == kMost || (!context.sort.empty() && sorted > kMostSorted)) return false;
  contexts_.push_back(std::move(context));
  return true;
}

void SearchContexts::cancel(std::string_view tag) {
  std::erase_if(contexts_, [&](const SearchContext& context) { return context.tag == tag; });
}

void SearchContexts::expunged(Session& session, const store::Changes& changes) {
  if (contexts_.empty() || changes.expunged.empty()) return;
  store::UidSet all;
  std::unordered_map<std::uint32_t, std::uint32_t> numbers;
  for (std::size_t i = 0; i < changes.expunged.size(); ++i) {
    all.add(changes.expunged_uids[i]);
    // The i before it are gone when its EXPUNGE comes, and were below it.
    numbers[store::number(changes.expunged_uids[i])] =
        store::number(changes.expunged[i]) + static_cast<std::uint32_t>(i);
  }
  for (auto& context : contexts_) {
    const auto gone = intersection(context.found, all);
    if (gone.empty()) continue;
    const NumberOf number_of = [&](std::uint32_t uid) { return context.uids ? uid : numbers[uid]; };
    auto text = correlator(context) + " REMOVEFROM ";
    append_positions(text, context, gone, true, number_of);
    session.untagged(text);
    remove_from(context, gone);
  }
}

std::unique_ptr<Work> SearchContexts::updates(Session& session) {
  const auto now = session.view().highest_modseq();
  if (std::ranges::none_of(contexts_, [&](const SearchContext& context) { return context.checked < now; }))
    return nullptr;
  return std::make_unique<ContextUpdates>(*this);
}

Result<imap::SearchKey> without_numbers(Session& session, imap::SearchKey key) {
  using Kind = imap::SearchKey::Kind;
  for (auto& child : key.children) {
    MAIL_TRY(plain, without_numbers(session, std::move(child)));
    child = std::move(plain);
  }
  if (key.kind != Kind::sequence && !(key.kind == Kind::uid && key.set.saved())) return key;
  MAIL_TRY(uids, session.messages_of(key.set, false, true));
  imap::SearchKey plain;
  if (uids.empty()) {  // nothing, now and later
    plain.kind = Kind::negated;
    plain.children.emplace_back();
    return plain;
  }
  plain.kind = Kind::uid;
  MAIL_TRY(set, imap::SequenceSet::parse(uids.text()));
  plain.set = std::move(set);
  return plain;
}

void keep_updated(Session& session, SearchContext context) {
  context.tag = session.tag();
  context.uids = context.uids || session.uid_command() || session.enabled().uid_only;
  context.checked = session.view().highest_modseq();
  context.last = session.view().last_uid();
  if (!session.contexts().add(std::move(context)))
    session.untagged(concat({"NO [NOUPDATE \"", session.tag(), "\"] Too many contexts"}));
}

}  // namespace mail::imapd
