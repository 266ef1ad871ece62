// imapload --mode ops: commands by name, one after another on each connection.
#include <map>

#include "bench/imapload.h"

using namespace load;

static std::string command_of(const std::string& o) {
  static const std::map<std::string, std::string> m = {
      {"select", "SELECT \"%m\""},
      {"status", "STATUS \"%m\" (MESSAGES UNSEEN UIDNEXT UIDVALIDITY RECENT)"},
      {"list", "LIST \"\" \"*\""},
      {"noop", "NOOP"},
      {"flags", "FETCH 1:* (FLAGS UID RFC822.SIZE)"},
      {"envelope", "FETCH 1:* (ENVELOPE)"},
      {"bodystructure", "FETCH 1:* (BODYSTRUCTURE)"},
      {"header", "FETCH 1:* (BODY.PEEK[HEADER])"},
      {"headers",
       "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM TO CC SUBJECT MESSAGE-ID "
       "REFERENCES IN-REPLY-TO CONTENT-TYPE)])"},
      {"body", "FETCH 1:* (BODY.PEEK[])"},
      {"text", "FETCH 1:* (BODY.PEEK[1])"},
      {"search-all", "SEARCH ALL"},
      {"search-from", "SEARCH FROM \"u17@\""},
      {"search-subject", "SEARCH SUBJECT \"raresubject\""},
      {"search-body", "SEARCH BODY \"needle7 \""},
      {"search-text", "SEARCH TEXT \"needle7 \""},
      {"search-unseen", "SEARCH UNSEEN"},
      {"search-since", "SEARCH SINCE 1-Jan-2021"},
      {"search-header", "SEARCH HEADER Message-ID \"example.org\""},
      {"sort-date", "SORT (DATE) UTF-8 ALL"},
      {"sort-subject", "SORT (SUBJECT) UTF-8 ALL"},
      {"sort-from", "SORT (FROM) UTF-8 ALL"},
      {"sort-size", "SORT (SIZE) UTF-8 ALL"},
      {"sort-arrival", "SORT (REVERSE ARRIVAL) UTF-8 ALL"},
      {"thread-refs", "THREAD REFERENCES UTF-8 ALL"},
      {"thread-subj", "THREAD ORDEREDSUBJECT UTF-8 ALL"},
      {"store", "STORE 1:* +FLAGS (\\Flagged)"},
      {"unstore", "STORE 1:* -FLAGS.SILENT (\\Flagged)"},
      {"copy", "COPY 1:* \"%d\""},
      {"move", "MOVE 1:* \"%d\""},
      {"delete", "STORE 1:* +FLAGS.SILENT (\\Deleted)"},
      {"expunge", "EXPUNGE"},
      {"drop", "DELETE \"%d\""}};
  auto i = m.find(o);
  return i == m.end() ? "" : i->second;
}
void do_ops() {
  struct Row {
    std::string op;
    std::vector<double> t, first;
    long fetches = 0, octets = 0;
  };
  std::vector<std::string> list;
  for (size_t p = 0; p <= set.ops.size();) {
    size_t e = set.ops.find(',', p);
    if (e == std::string::npos) e = set.ops.size();
    list.push_back(set.ops.substr(p, e - p));
    p = e + 1;
  }
  std::vector<Row> rows;
  for (auto& o : list) rows.push_back({o, {}, {}, 0, 0});
  long seen = 0;
  double t0 = now();
  each([&](int i) {
    Imap c;
    c.open();
    c.login(i);
    std::string d = set.conns > 1 ? set.dest + std::to_string(i) : set.dest;
    auto fill = [&](std::string s) {
      for (auto [k, v] : {std::pair{std::string("%m"), set.mailbox}, std::pair{std::string("%d"), d}}) {
        size_t p = s.find(k);
        if (p != std::string::npos) s.replace(p, 2, v);
      }
      return s;
    };
    bool selected = false;
    for (int r = 0; r < set.reps; r++)
      for (size_t k = 0; k < list.size() && now() < set.t_end; k++) {
        auto& o = list[k];
        std::string cm = o.compare(0, 4, "raw:") ? command_of(o) : o.substr(4);
        if (o == "moveback") {
          c.cmd(fill("SELECT \"%d\""));
          cm = "MOVE 1:* \"%m\"";
        }
        if (o == "delete") c.cmd(fill("SELECT \"%d\""));
        if (o == "drop" || o == "copy" || o == "move") {
          if (o == "drop") {
            c.cmd(fill("SELECT \"%m\""));
          } else {
            try {
              c.cmd(fill("CREATE \"%d\""));
            } catch (Failure&) {
            }
          }
        }
        if (cm.empty()) throw Failure{"unknown op " + o};
        if (!selected && o != "select" && o != "list" && o != "status") {
          c.cmd(fill("SELECT \"%m\""));
        }
        selected = selected || (o != "list" && o != "status");
        double s = now();
        Imap::Res res;
        try {
          res = c.cmd(fill(cm));
        } catch (Failure& f) {
          if (f.what.compare(0, 7, "answer:")) throw;
          note(o + ": " + f.what);
          continue;
        }
        double el = now() - s;
        std::lock_guard g(mu);
        rows[k].t.push_back(el);
        rows[k].first.push_back(res.first);
        rows[k].fetches += res.fetches;
        rows[k].octets += res.octets;
        seen = std::max(seen, c.exists);
      }
  });
  std::string js;
  char b[512];
  for (auto& r : rows) {
    if (r.t.empty()) continue;
    double m = pct(r.t, .5) / 1e3, sum = 0;
    for (double x : r.t) sum += x;
    snprintf(b, sizeof b,
             "%s{\"op\":\"%s\",\"n\":%zu,\"median_s\":%.6f,\"max_s\":%.6f,\"first_ms\":%.3f,\"fetches\":%ld,\"octets\":"
             "%ld,\"fetches_per_s\":%.0f,\"MB_per_s\":%.2f}",
             js.empty() ? "" : ",", esc(r.op).c_str(), r.t.size(), m, *std::max_element(r.t.begin(), r.t.end()),
             pct(r.first, .5), r.fetches / long(r.t.size()), r.octets / long(r.t.size()),
             double(r.fetches) / sum * set.conns, double(r.octets) / sum * set.conns / 1e6);
    js += b;
  }
  printf(
      "{\"tool\":\"imapload\",\"mode\":\"ops\",\"conns\":%d,\"mailbox\":\"%s\",\"messages\":%ld,\"secs\":%.3f,"
      "\"failures\":%ld,\"error\":\"%s\",\"ops\":[%s]}\n",
      set.conns, esc(set.mailbox).c_str(), seen, now() - t0, failures.load(), esc(error).c_str(), js.c_str());
}
