// FETCH and UID FETCH (RFC 9051 section 6.4.5), CHANGEDSINCE and VANISHED (7162), PARTIAL (9394). Answers go out in
// pieces as the client takes them.
#include "imapd/commands/fetch.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "base/strings.h"
#include "imapd/commands/families.h"
#include "imapd/commands/resync.h"
#include "imapd/fetch_items.h"
#include "imapd/message_limit.h"
#include "imapd/session.h"
#include "imapd/uid_sets.h"

namespace mail::imapd {
namespace {

struct FetchRequest {
  std::vector<Wanted> wanted;
  store::UidSet uids;
  store::UidSet vanished;
  std::string limit = {};  ///< The response code, where not all of the messages are told of.
};

struct FetchModifiers {
  std::optional<store::ModSeq> changed_since;
  bool vanished = false;
  std::optional<std::pair<std::int64_t, std::int64_t>> partial;
};

Result<FetchModifiers> take_modifiers(imap::Arguments& arguments) {
  FetchModifiers modifiers;
  MAIL_CHECK(arguments.open());
  do {
    MAIL_TRY(word, arguments.atom());
    if (iequals(word, "CHANGEDSINCE")) {
      MAIL_CHECK(arguments.space());
      MAIL_TRY(modseq, arguments.number64());
      modifiers.changed_since = store::ModSeq{modseq};
    } else if (iequals(word, "VANISHED")) {
      modifiers.vanished = true;
    } else if (iequals(word, "PARTIAL")) {
      MAIL_CHECK(arguments.space());
      MAIL_TRY(first, arguments.signed_number());
      if (!arguments.take(':')) return fail(Error::Kind::syntax, "Invalid range");
      MAIL_TRY(last, arguments.signed_number());
      if (first == 0 || last == 0 || (first < 0) != (last < 0)) return fail(Error::Kind::syntax, "Invalid range");
      modifiers.partial = std::pair{first, last};
    } else {
      return fail(Error::Kind::syntax, "Unknown FETCH modifier");
    }
  } while (arguments.take(' '));
  MAIL_CHECK(arguments.close());
  return modifiers;
}

/// A literal may hold no NUL (RFC 9051 section 4.3); only BINARY can tell it. As other servers do, it becomes 0x80.
void hide_nul(std::string& out, std::size_t from) {
  for (auto at = out.find('\0', from); at != std::string::npos; at = out.find('\0', at + 1)) out[at] = '\x80';
}

/// FETCH of a body without the right `s` leaves \Seen as it is (RFC 4314 section 4).
bool may_set_seen(Session& session) { return !session.read_only() && store::has_right(session.selected_rights(), 's'); }

/// Answers one FETCH. What is in memory is written at once; what needs files is read on a worker.
class Fetching : public Work {
 public:
  Fetching(Session& session, FetchRequest request, bool unsolicited = false)
      : request_(std::move(request)), rest_(request_.uids), walk_(request_.uids) {
    const bool has_uid = std::ranges::any_of(request_.wanted, [](const Wanted& w) { return w.item->name == "UID"; });
    adds_uid_ = !has_uid && !unsolicited && session.uid_command() && !session.enabled().uid_only;
    for (const auto& wanted : request_.wanted) {
      const auto source = wanted.from_header_cache ? Source::summary : wanted.item->source;
      needs_size_ = needs_size_ || source == Source::size;
      needs_summary_ = needs_summary_ || source == Source::summary;
      const bool envelope = wanted.item->name == "ENVELOPE";
      header_tells_ = header_tells_ && (source != Source::summary || wanted.from_header_cache || envelope);
      envelope_tells_ = envelope_tells_ && (source != Source::summary || envelope);
      needs_content_ = needs_content_ || source == Source::content;
      sets_seen_ = sets_seen_ || (wanted.item->sets_seen && !unsolicited && may_set_seen(session));
      wants_flags_ = wants_flags_ || wanted.item->name == "FLAGS";
    }
  }

  Completion step(Session& session) override {
    if (!prepared_) {
      if (auto waits = prepare(session)) return *waits;
      prepared_ = true;
    }
    if (needs_content_ || sets_seen_) return step_content(session);
    if (reading_ && !session.may_block()) return on_worker();
    session.out().reserve(Session::kPiece + 4096);
    if (needs_summary_)
      step_summaries(session);
    else
      step_rows(session);
    return rest_.empty() ? finish() : more();
  }

 private:
  std::optional<Completion> prepare(Session& session) {
    auto& view = session.view();
    if (needs_summary_ && !view.has_summaries(request_.uids)) {
      if (!session.may_block()) return on_worker();
      if (header_tells_)
        depth_ = needs_size_ && !view.has_sizes(request_.uids) ? store::SummaryDepth::header_and_size
                 : envelope_tells_                             ? store::SummaryDepth::envelope
                                                               : store::SummaryDepth::header;
      if (!needs_content_ && !sets_seen_) {  // as the answers go out; sizes come with them
        reading_ = view.read_summaries(request_.uids, depth_);
        return std::nullopt;
      }
      if (auto done = view.complete_summaries(request_.uids); !done)
        return failed(done.error(), "Messages cannot be read");
    }
    if (needs_size_ && !view.has_sizes(request_.uids)) {
      if (!session.may_block()) return on_worker();
      if (auto done = view.complete_sizes(request_.uids); !done) return failed(done.error(), "Messages cannot be read");
    }
    return std::nullopt;
  }

  void begin(Session& session, store::SequenceNumber number, const store::MessageRow& row) {
    auto& out = session.out();
    out += "* ";
    const bool uid_only = session.enabled().uid_only;
    append_decimal(out, uid_only ? store::number(row.uid) : store::number(number));
    out += uid_only ? " UIDFETCH (" : " FETCH (";
    first_ = true;
    if (adds_uid_) {
      out += "UID ";
      append_decimal(out, store::number(row.uid));
      first_ = false;
    }
  }

  void blank(std::string& out) {
    if (!first_) out += ' ';
    first_ = false;
  }

  void append_value(const FetchInput& input, const Wanted& wanted, std::string& out) {
    blank(out);
    if (!wanted.from_header_cache) return wanted.item->append(input, wanted.attribute, out);
    out += wanted.label;
    scratch_.clear();
    filter_cached(input.summary->header_fields, *wanted.attribute.section);
    out += '{';
    append_decimal(out, scratch_.size());
    out += "}\r\n";
    out += scratch_;
  }

  /// As filter_header(), over the cached fields: CRLF already, well-formed.
  void filter_cached(std::string_view fields, const imap::Section& section) {
    while (!fields.empty()) {
      auto end = fields.find('\n');
      // A folded field goes on in the next line.
      while (end != std::string_view::npos && end + 1 < fields.size() &&
             is_space(static_cast<unsigned char>(fields[end + 1])))
        end = fields.find('\n', end + 1);
      const auto field = end == std::string_view::npos ? fields : fields.substr(0, end + 1);
      fields.remove_prefix(field.size());
      auto name = field.substr(0, field.find(':'));
      while (!name.empty() && is_space(static_cast<unsigned char>(name.back()))) name.remove_suffix(1);
      for (const auto& wanted : section.fields) {
        if (!iequals(wanted, name)) continue;
        scratch_ += field;
        break;
      }
    }
    scratch_ += "\r\n";
  }

  void step_rows(Session& session) {
    auto& out = session.out();
    store::Uid last{};
    bool all = true;
    session.view().rows(rest_, [&](store::SequenceNumber number, const store::MessageRow& row) {
      begin(session, number, row);
      const FetchInput input{session, number, row, nullptr};
      for (const auto& wanted : request_.wanted) append_value(input, wanted, out);
      out += ")\r\n";
      last = row.uid;
      all = out.size() < Session::kPiece;
      return all;
    });
    rest_ = all ? store::UidSet{} : above(rest_, last);
  }

  void step_summaries(Session& session) {
    auto& out = session.out();
    store::Uid last{};
    bool all = true;
    const auto tell = [&](store::SequenceNumber number, const store::MessageRow& row, const store::Summary& summary) {
      begin(session, number, row);
      const FetchInput input{session, number, row, &summary};
      for (const auto& wanted : request_.wanted) append_value(input, wanted, out);
      out += ")\r\n";
      last = row.uid;
      all = out.size() < Session::kPiece;
      return all;
    };
    if (reading_) {
      if (!reading_->next(tell)) rest_ = {};
      return;
    }
    session.view().summaries(rest_, tell);
    rest_ = all ? store::UidSet{} : above(rest_, last);
  }

  // Content: one message after the other, each item in its turn; a long literal is left in the middle and gone on with.

  Completion step_content(Session& session) {
    if (!session.may_block()) return on_worker();
    auto& out = session.out();
    out.reserve(Session::kPiece + 64 * 1024);
    for (;;) {
      if (body_) {
        const auto before = out.size();
        const bool all = body_->produce(out, Session::kPiece);
        if (request_.wanted[item_].item->body == FetchItem::Body::section) hide_nul(out, before);
        if (!all) return more();
        body_.reset();
        ++item_;
        if (out.size() >= Session::kPiece) return more();
      }
      if (content_ || in_message_) {
        if (!append_items(session)) continue;
        end_message(session);
        if (out.size() >= Session::kPiece) return more();
      }
      const auto uid = walk_.next();
      if (!uid) return finish();
      mark_seen(session, *uid);
      next_message(session, *uid);
    }
  }

  /// \Seen for the next messages at once: each change of flags costs a flush.
  void mark_seen(Session& session, store::Uid first) {
    constexpr int kBatch = 64;
    if (!sets_seen_ || first <= seen_up_to_) return;
    store::UidSet batch = store::UidSet::of(first);
    auto ahead = walk_;
    for (int i = 1; i < kBatch; ++i)
      if (const auto uid = ahead.next()) batch.add(*uid);
    seen_up_to_ = highest(batch);
    newly_seen_ = {};
    session.view().rows(batch, [&](store::SequenceNumber, const store::MessageRow& row) {
      if (!store::has(row.flags, store::Flags::seen)) newly_seen_.add(row.uid);
      return true;
    });
    if (newly_seen_.empty()) return;
    store::FlagChange change;
    change.uids = newly_seen_;
    change.flags = store::Flags::seen;
    if (auto done = session.view().store_flags(change); !done) {
      log_event(LogLevel::warning, "seen_not_stored", {{"user", session.user()}, {"error", done.error().text}});
      newly_seen_ = {};
    }
  }

  void next_message(Session& session, store::Uid uid) {
    const auto row = session.view().row(uid);
    const auto number = session.view().sequence(uid);
    if (!row || !number) return;
    if (needs_content_) {
      auto file = session.view().open_message(uid);
      if (!file) {
        if (file.error().kind != Error::Kind::not_found)
          log_event(LogLevel::error, "message_not_read",
                    {{"user", session.user()}, {"uid", store::number(uid)}, {"error", file.error().text}});
        failure_ = std::move(file).error();
        return;
      }
      content_.emplace(std::move(*file));
    }
    row_ = *row;
    number_ = *number;
    in_message_ = true;
    item_ = 0;
    begin(session, number_, row_);
  }

  /// False where a literal was begun (or a value could not be had): body_ is to be produced first.
  bool append_items(Session& session) {
    auto& out = session.out();
    for (; item_ < request_.wanted.size(); ++item_) {
      const auto& wanted = request_.wanted[item_];
      if (wanted.item->body == FetchItem::Body::none || wanted.from_header_cache) {
        append_simple(session, wanted);
      } else {
        blank(out);
        append_body(wanted, out);
        if (body_) return false;
      }
    }
    return true;
  }

  void append_simple(Session& session, const Wanted& wanted) {
    auto& out = session.out();
    if (wanted.item->source != Source::summary && !wanted.from_header_cache)
      return append_value({session, number_, row_, nullptr}, wanted, out);
    session.view().summaries(store::UidSet::of(row_.uid),
                             [&](store::SequenceNumber, const store::MessageRow&, const store::Summary& summary) {
                               append_value({session, number_, row_, &summary}, wanted, out);
                               return false;
                             });
  }

  void append_body(const Wanted& wanted, std::string& out) {
    const auto& attribute = wanted.attribute;
    const bool binary = wanted.item->body != FetchItem::Body::section;
    out += wanted.label;
    std::optional<BodyOctets> body;
    if (binary) {
      auto decoded = content_->binary(*attribute.section);
      if (!decoded) {
        unknown_encoding_ = true;
        out += wanted.item->body == FetchItem::Body::binary_size ? "0" : "NIL";
        return;
      }
      body = std::move(*decoded);
    } else {
      body = content_->body(*attribute.section);
    }
    if (!body) {
      out += wanted.item->body == FetchItem::Body::binary_size ? "0" : "NIL";
      return;
    }
    if (wanted.item->body == FetchItem::Body::binary_size) return append_decimal(out, body->octets());
    if (attribute.partial) body->cut(*attribute.partial);
    if (binary && body->has_nul()) out += '~';
    out += '{';
    append_decimal(out, body->octets());
    out += "}\r\n";
    if (body->octets() > 0) body_ = std::move(body);
  }

  void end_message(Session& session) {
    auto& out = session.out();
    if (!wants_flags_ && newly_seen_.contains(row_.uid)) {
      blank(out);
      static const FetchItem& flags = *find_fetch_item("FLAGS");
      flags.append({session, number_, row_, nullptr}, {}, out);
      if (session.enabled().condstore) {
        static const FetchItem& modseq = *find_fetch_item("MODSEQ");
        blank(out);
        modseq.append({session, number_, row_, nullptr}, {}, out);
      }
    }
    out += ")\r\n";
    content_.reset();
    in_message_ = false;
  }

  Completion finish() const {
    if (unknown_encoding_) return no("[UNKNOWN-CTE] Some parts have an unknown encoding");
    if (failure_)
      return failure_->kind == Error::Kind::not_found ? no("[EXPUNGEISSUED] Some messages are gone")
                                                      : failed(*failure_, "Some messages cannot be read");
    return ok(request_.limit + "FETCH completed");
  }

  FetchRequest request_;
  store::UidSet rest_;  ///< What step_rows() and step_summaries() have not told yet.
  UidWalk walk_;        ///< Where step_content() is.
  bool adds_uid_ = false, needs_size_ = false, needs_summary_ = false, needs_content_ = false, sets_seen_ = false,
       wants_flags_ = false;
  bool prepared_ = false;
  std::unique_ptr<store::SummaryReading> reading_;          ///< Some are not in the index: it reads messages.
  bool header_tells_ = true;                                ///< What is asked of summaries is in the headers.
  bool envelope_tells_ = true;                              ///< It is the envelope.
  store::SummaryDepth depth_ = store::SummaryDepth::whole;  ///< For step_summaries(), then.
  bool first_ = true;
  bool in_message_ = false;
  bool unknown_encoding_ = false;
  std::size_t item_ = 0;
  std::optional<MessageContent> content_;
  std::optional<BodyOctets> body_;
  store::MessageRow row_;
  store::SequenceNumber number_{};
  store::Uid seen_up_to_{};
  store::UidSet newly_seen_;
  std::optional<Error> failure_;
  std::string scratch_;
};

Result<FetchRequest> take_fetch(Session& session, imap::Arguments& arguments) {
  FetchRequest request;
  MAIL_TRY(set, arguments.sequence_set());
  MAIL_CHECK(arguments.space());
  MAIL_TRY(attributes, imap::take_fetch_attributes(arguments));
  FetchModifiers modifiers;
  if (arguments.take(' ')) {
    MAIL_TRY(given, take_modifiers(arguments));
    modifiers = given;
  }
  MAIL_CHECK(arguments.end());
  if (modifiers.vanished && (!session.uid_command() || !session.enabled().qresync || !modifiers.changed_since))
    return fail(Error::Kind::syntax, "VANISHED needs UID FETCH, QRESYNC and CHANGEDSINCE");
  MAIL_TRY(uids, session.messages_of(set, session.uid_command()));
  request.uids = std::move(uids);
  MAIL_TRY(wanted, look_up(std::move(attributes)));
  request.wanted = std::move(wanted);

  const bool has_modseq =
      std::ranges::any_of(request.wanted, [](const Wanted& w) { return w.item->enables_condstore; });
  if (has_modseq || modifiers.changed_since) session.use_condstore();
  // Of the set as it was asked for, not of what changed in it (RFC 9394 section 3.4).
  if (modifiers.partial) request.uids = partial_of(request.uids, *modifiers.partial);
  if (modifiers.changed_since) {
    request.uids = intersection(request.uids, session.view().changed_since(*modifiers.changed_since));
    if (!has_modseq) request.wanted.push_back({find_fetch_item("MODSEQ"), {"MODSEQ", {}, {}, {}}, {}, false});
    if (modifiers.vanished) {
      const auto within = to_uid_set(set.resolve(store::number(session.view().uid_next()) - 1));
      if (!within.empty()) request.vanished = session.view().vanished_since(*modifiers.changed_since, within);
    }
  }
  return request;
}

Completion fetch(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(request, take_fetch(session, arguments));
  auto part = limited(session, std::move(request.uids));
  request.uids = std::move(part.uids);
  request.limit = std::move(part.code);
  if (!request.vanished.empty()) session.untagged("VANISHED (EARLIER) " + request.vanished.text());
  return session.start(std::make_unique<Fetching>(session, std::move(request)));
}

constexpr std::array kFetchCommands{
    Command{.name = "FETCH", .run = fetch, .states = kSelected, .keeps_numbers = true},
    Command{.name = "UID FETCH", .run = fetch, .states = kSelected, .keeps_numbers = true},
};

}  // namespace

std::unique_ptr<Work> fetch_unsolicited(Session& session, std::vector<Wanted> wanted, store::UidSet uids) {
  return std::make_unique<Fetching>(session, FetchRequest{std::move(wanted), std::move(uids), {}}, true);
}

std::span<const Command> fetch_commands() { return kFetchCommands; }

}  // namespace mail::imapd
