#!/bin/bash
# it_ohempool_sheet.sh - the pictures of a pool from outside: contact sheets and the report.
#
# TAP on stdout.  B is the build folder (default build/release).  Data and pools are made here.
. "$(dirname "$0")/tap.sh"
O=$B/ohempool
SRC=$(cd "$(dirname "$0")/.." && pwd)

run() { # ARGS...: sets rc, $T/out, $T/err
    "$O" "$@" >"$T/out" 2>"$T/err"
    rc=$?
}

says() { # NAME TEXT ARGS...: on stdout, ending with 0
    local name=$1 text=$2
    shift 2
    run "$@"
    [ $rc = 0 ] && grep -qF -- "$text" "$T/out"
    result $? "$name"
}

fails() { # NAME RC TEXT ARGS...: on stderr
    local name=$1 want=$2 text=$3
    shift 3
    run "$@"
    [ $rc = "$want" ] && grep -qF -- "$text" "$T/err"
    result $? "$name"
}

holds() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >>"$T/err" 2>&1
    result $? "$name"
}

# pixel FILE X Y: "r g b"; also proves that the file is a whole PNG
cat >"$T/pixel.py" <<'END'
import struct, sys, zlib
b = open(sys.argv[1], 'rb').read()
at, data = 8, b''
while at < len(b):
    n, kind = struct.unpack('>I4s', b[at:at + 8])
    body = b[at + 8:at + 8 + n]
    assert zlib.crc32(kind + body) == struct.unpack('>I', b[at + 8 + n:at + 12 + n])[0]
    if kind == b'IHDR':
        w, h, depth, colour = struct.unpack('>IIBB', body[:10])
    if kind == b'IDAT':
        data += body
    at += 12 + n
c = {0: 1, 2: 3}[colour]
data, prev = zlib.decompress(data), bytearray(w * c)
x, y = int(sys.argv[2]), int(sys.argv[3])
for row in range(y + 1):
    kind, *line = data[row * (w * c + 1):(row + 1) * (w * c + 1)]
    line = bytearray(line)
    for i in range(w * c):
        a, up, ul = (line[i - c] if i >= c else 0), prev[i], (prev[i - c] if i >= c else 0)
        p = a + up - ul
        paeth = min((abs(p - a), 0, a), (abs(p - up), 1, up), (abs(p - ul), 2, ul))[2]
        line[i] = line[i] + (0, a, up, (a + up) // 2, paeth)[kind] & 255
    prev = line
print(w, h, *prev[x * c:(x + 1) * c])
END

pixel() { # NAME "W H R G B" FILE X Y
    local got
    got=$(python3 "$T/pixel.py" "$3" "$4" "$5" 2>"$T/err")
    echo "got '$got', wanted '$2'" >>"$T/err"
    [ "$got" = "$2" ]
    result $? "$1"
}

fingerprint() { # COUNT: of the keys 00000000, 00000001, ..
    python3 -c '
import sys
h = 0xcbf29ce484222325
for c in b"".join(b"%08d" % i for i in range(int(sys.argv[1]))):
    h = ((h ^ c) * 0x100000001b3) & (1 << 64) - 1
print("%016x" % h)' "$1"
}

pool() { # FILE LMDB COUNT: an empty pool about it; more SQL on stdin
    {
        cat "$SRC/mining/schema.sql" "$SRC/mining/views.sql"
        echo "INSERT INTO dataset VALUES(1,'$2',$3,'$(fingerprint "$3")');
            INSERT INTO run(run_id,job,started,ended,status,host,pid,version,config_hash,config_text,seed,
              iter_end,loss_end) VALUES(1,'t.conf','2026-01-02T03:04:05Z','2026-01-02T04:04:05Z','ok','h',1,
              'v','c','',1,100,0.25);
            INSERT INTO class VALUES(0,'zero'),(1,'one, or more'),(2,'two <&>'),(9,'nine');"
        cat
    } | sqlite3 -batch "$1" >"$T/out" 2>"$T/err"
}

inst="INSERT INTO inst(inst_id,sample_id,kind,slot,label,x0,y0,x1,y1,state,loss,loss_ema,loss_max,loss_first,
    pred,p_label,p_pred,n_seen,n_reinj,n_contra,first_run,first_iter,last_run,last_iter) VALUES"

# ---- data: ten grey 28x28 pictures, picture i is all 20 * i; six colour scenes with boxes ----
{
    bytes 0 0 8 3 0 0 0 10 0 0 0 28 0 0 0 28
    for ((i = 0; i < 10; i++)); do printf "\\x$(printf %02x $((20 * i)))%.0s" {1..784}; done
} >"$T/images"
{ bytes 0 0 8 1 0 0 0 10; bytes 0 1 2 3 4 5 6 7 8 9; } >"$T/labels"
mkdir -p "$T/data" "$T/runs/a"
holds "the data is made" "$B/ohemdata" idx "$T/images" "$T/labels" "$T/data/d.lmdb"
holds "the scenes are made" "$B/ohemdata" scenes --images "$T/images" --labels "$T/labels" --count 6 \
    --seed 1 --out "$T/s.lmdb"

P=$T/runs/a/pool.db
pool "$P" data/d.lmdb 10 <<END
INSERT INTO sample(sample_id,dataset_id,lmdb_key) VALUES(1,1,'00000005'),(2,1,'00000009'),(3,1,'00000077');
$inst (1,1,0,0,1,0,0,1,1,0, 4,4,4,4, 2,.1,.9, 3,0,1, 1,1,1,9),
      (2,2,0,0,9,0,0,1,1,3, 3,3,3,3, 1,.1,.8, 3,2,3, 1,1,1,9),
      (3,3,0,0,9,0,0,1,1,6, 2,2,2,2, 9,.3,.3, 3,0,0, 1,1,1,9);
END
[ ! -s "$T/err" ]
result $? "the pool is made"
sqlite3 "$P" "CREATE VIEW every AS WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM t WHERE i<300)
    SELECT inst_id FROM inst, t; CREATE VIEW odd AS SELECT inst_id FROM inst WHERE inst_id=4;
    INSERT INTO sample(sample_id,dataset_id,lmdb_key) VALUES(4,1,'');
    $inst (4,4,1,0,9,.5,0,.2,2,5, 0,0,0,0, NULL,NULL,NULL, 3,0,0, 1,1,1,9)"

# ---- sheets ----
says "a sheet is written" "a.png: " sheet "$P" "$T/a.png"
says "hardest leaves the quarantined out" "2 of 2" sheet "$P" "$T/a.png"
# the first picture: a cell of 96 holds 28x28 three times enlarged, 84x84, grey 100
pixel "a picture is in its place" "376 166 100 100 100" "$T/a.png" $((8 + 24 + 48)) $((38 + 2 + 48))
pixel "it is enlarged by a whole factor, centred" "376 166 100 100 100" "$T/a.png" $((8 + 24 + 6)) $((38 + 2 + 6))
pixel "and what it leaves is empty" "376 166 54 56 62" "$T/a.png" $((8 + 24 + 5)) $((38 + 2 + 5))
pixel "the frame has the colour of the state" "376 166 240 225 190" "$T/a.png" $((8 + 24 - 1)) $((38 + 20))
cp "$T/a.png" "$T/b.png"
run sheet "$P" "$T/a.png"
holds "the same pool gives the same bytes" cmp "$T/a.png" "$T/b.png"
says "a view can be named" "1 of 1" sheet "$P" "$T/q.png" --view suspected_noise
says "and a class" "1 of 1" sheet "$P" "$T/c.png" --class nine
says "a class is a number too" "1 of 1" sheet "$P" "$T/c.png" --class 1
says "a pair of classes, with a comma in a name" "1 of 1" sheet "$P" "$T/c.png" --confusion "one, or more,two <&>"
says "of all there may be fewer" "1 of 2" sheet "$P" "$T/c.png" --limit 1
says "nothing to show is a sheet too" "0 of 0" sheet "$P" "$T/c.png" --class zero
says "what is edited into nonsense gets an empty cell" "1 of 1" sheet "$P" "$T/c.png" --view odd
pixel "with the reason in it" "376 166 54 56 62" "$T/c.png" $((8 + 24 + 90)) $((38 + 2 + 90))
says "small cells are possible" "c.png: " sheet "$P" "$T/c.png" --cell 24 --columns 1
fails "an unknown view names those there are" 64 "suspected_noise, got 'nonsense'" sheet "$P" "$T/x.png" --view nonsense
fails "so does a view without pictures" 64 "got 'runs'" sheet "$P" "$T/x.png" --view runs
fails "an unknown class is an error" 64 "no such class, got 'dog'" sheet "$P" "$T/x.png" --class dog
fails "half a pair is an error" 64 "TRUTH,PREDICTED, got 'nine'" sheet "$P" "$T/x.png" --confusion nine
fails "cells have a least size" 64 "--cell: must be 24 to 1024 pixels, got 8" sheet "$P" "$T/x.png" --cell 8
fails "a sheet has a greatest size" 64 "--limit" sheet "$P" "$T/x.png" --view every --limit 0 --cell 1024
fails "a missing pool is named" 66 "nowhere.db" sheet "$T/nowhere.db" "$T/x.png"
fails "a missing data base is named" 66 "gone.lmdb" sheet "$P" "$T/x.png" --db "$T/gone.lmdb"
fails "another data base is refused by its size" 78 "has 10 records, got 6" sheet "$P" "$T/x.png" --db "$T/s.lmdb"
sqlite3 "$P" "UPDATE dataset SET fingerprint='0123456789abcdef'"
fails "and by its fingerprint" 78 "another fingerprint" sheet "$P" "$T/x.png"
sqlite3 "$P" "UPDATE dataset SET fingerprint='$(fingerprint 10)'"
fails "what cannot be written is an error" 73 "no/x.png" sheet "$P" "$T/no/x.png"
[ ! -e "$T/x.png" ] && [ ! -e "$T/x.png.tmp" ]
result $? "a failed command leaves no file"

# ---- boxes: a 40x40 box of a 160x160 scene is shown with 28 pixels around it, as it is ----
pool "$T/s.db" "$T/s.lmdb" 6 <<END
INSERT INTO sample(sample_id,dataset_id,lmdb_key) VALUES(1,1,'00000003');
$inst (1,1,2,7,0,.25,.25,.5,.5,4, 4,4,4,4, 2,.1,.96, 3,0,3, 1,1,1,9),
      (2,1,2,8,0,.9,.9,1,1,0, 3,3,3,3, 2,.1,.97, 3,0,2, 1,1,1,9);
END
says "boxes are drawn from scenes" "2 of 2" sheet "$T/s.db" "$T/s.png" --view possibly_unlabelled
at() { echo $((8 + 24 + $1)) $((38 + 2 + $2)); }
pixel "the box is where it is in the image" "376 166 190 110 220" "$T/s.png" $(at 28 28)
pixel "its far corner too" "376 166 190 110 220" "$T/s.png" $(at 67 67)
pixel "with a dark edge" "376 166 0 0 0" "$T/s.png" $(at 27 30)

# ---- the report ----
cat >"$T/page.py" <<'END'
import base64, html.parser, sys
class Page(html.parser.HTMLParser):
    open_, ids, links, pictures, text = [], set(), set(), 0, ''
    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        assert tag not in ('script', 'link', 'iframe', 'object', 'embed', 'b&'), tag
        for k, v in attrs:
            assert not k.startswith('on'), k
            if k in ('src', 'href'):
                assert v.startswith(('#', 'data:image/png;base64,')), v[:60]
        self.ids |= {a['id']} if 'id' in a else set()
        self.links |= {a['href'][1:]} if 'href' in a else set()
        if tag == 'img':
            assert a['alt'] and base64.b64decode(a['src'][22:], validate=True).startswith(b'\x89PNG')
            Page.pictures += 1
        if tag == 'svg':
            assert a['role'] == 'img' and a['aria-label']
        if tag not in ('meta', 'img', 'br'):
            self.open_.append(tag)
    def handle_startendtag(self, tag, attrs):
        assert 'svg' in self.open_, tag
    def handle_endtag(self, tag):
        assert self.open_.pop() == tag, (tag, self.getpos())
    def handle_data(self, data):
        Page.text += data
p = Page(convert_charrefs=True)
b = open(sys.argv[1], encoding='utf-8').read()
p.feed(b)
p.close()
assert not p.open_ and p.links <= p.ids and 'url(' not in b and '@import' not in b and '://' not in b
assert p.pictures == int(sys.argv[2]), p.pictures
for word in sys.argv[3:]:
    assert word in Page.text, word
END
page() { # NAME FILE PICTURES WORD...
    local name=$1
    shift
    python3 "$T/page.py" "$@" 2>"$T/err"
    result $? "$name"
}

sqlite3 "$P" "INSERT INTO event(run_id,iter,inst_id,sample_id,what,loss,why) VALUES(1,70,2,2,'quarantine',3,'still <one>');
    INSERT INTO verdict(lmdb_key,kind,slot,verdict,who,outcome) VALUES('00000005',0,0,'hard','<script>Ann & \"Bo\"',NULL);
    INSERT INTO effect VALUES(1,90,-1,50,9,1,1.5,.5,.25,.75),(1,90,1,50,9,1,1,NULL,NULL,NULL);
    INSERT INTO thermometer VALUES(1,90,20,10,7,.7,.4,.9,.05,.8),(1,100,20,10,8,.8,.5,.9,.05,.9);
    INSERT INTO sentinel VALUES(1,50,10,1,.1,.35),(1,100,10,2,.1,.175);
    WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM t WHERE i<100) INSERT INTO iter_stat
      SELECT 1,i,CASE i%4 WHEN 0 THEN 'pool' ELSE 'fresh' END,10.0/i,.1,5,i,NULL,i FROM t;"
says "a report is written" "a.html: run 1" report "$P" "$T/a.html"
# hardest 2, of them one without its record; 1 suspect; 1 of the worst pair
page "it is one whole page with its pictures" "$T/a.html" 3 "no such record" "still <one>" "<script>Ann & \"Bo\"" \
    "two <&>" "mining took 0.500 off the loss" "There is no run before this one." "Quarantine, measured"
cp "$T/a.html" "$T/b.html"
run report "$P" "$T/a.html"
holds "the same pool gives the same page" cmp "$T/a.html" "$T/b.html"
says "boxes are in reports too" "run 1" report "$T/s.db" "$T/s.html"
page "with what may be unlabelled" "$T/s.html" 5 "Possibly unlabelled"
says "without the data base there is a report without pictures" "without pictures" report "$P" "$T/c.html" --db "$T/gone.lmdb"
page "that says why, and lists the rows" "$T/c.html" 0 "gone.lmdb" "Without pictures" "00000005"
says "so with another data base" "without pictures" report "$P" "$T/c.html" --db "$T/s.lmdb"
page "which is named" "$T/c.html" 0 "has 10 records, got 6"
sqlite3 "$P" "INSERT INTO run SELECT 2,job,1,started,ended,status,0,host,pid,boot_id,device,version,config_hash,
    config_text,seed,100,200,0.125,NULL,NULL FROM run"
says "a run can be named" "run 1" report "$P" "$T/r1.html" --run 1
page "and is told from what is now" "$T/r1.html" 3 "after run 2"
says "the last run is the one meant" "run 2" report "$P" "$T/r2.html"
page "and is compared with the one before" "$T/r2.html" 3 "Run 2 beside run 1" "-0.125"
fails "a run that is not there is an error" 66 "7" report "$P" "$T/x.html" --run 7
{ cat "$SRC/mining/schema.sql" "$SRC/mining/views.sql"; } | sqlite3 "$T/empty.db"
says "an empty pool has a report" "run 0" report "$T/empty.db" "$T/e.html"
page "that says so" "$T/e.html" 0 "No run is on record." "names no data set"
fails "a page that cannot be written is an error" 73 "no/x.html" report "$P" "$T/no/x.html"

echo "1..$n"
