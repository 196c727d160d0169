#!/bin/bash
# it_ohemdata.sh - ohemdata from outside: what it writes, what it says, how it ends.
#
# TAP on stdout.  B is the build folder (default build/release).  Synthetic input only.
. "$(dirname "$0")/tap.sh"
O=$B/ohemdata

run() { # ARGS...: sets rc, $T/out, $T/err
    "$O" "$@" >"$T/out" 2>"$T/err"
    rc=$?
}

# Succeeds with TEXT on stdout / ends with RC and TEXT in the one line on stderr.
says() { # NAME TEXT ARGS...
    local name=$1 text=$2
    shift 2
    run "$@"
    [ $rc = 0 ] && grep -qF -- "$text" "$T/out"
    result $? "$name"
}

fails() { # NAME RC TEXT ARGS...
    local name=$1 want=$2 text=$3
    shift 3
    run "$@"
    [ $rc = "$want" ] && grep -qF -- "$text" "$T/err"
    result $? "$name"
}

warns() { # NAME TEXT: on stderr of the last run
    grep -qF -- "$2" "$T/err"
    result $? "$1"
}

# COUNT squares of 28x28 whose brightness depends on the item; labels 0..9
make_idx() { # NAME COUNT
    local i y
    {
        bytes 0 0 8 3 0 0 0 "$2" 0 0 0 28 0 0 0 28
        for ((i = 0; i < $2; i++)); do
            for ((y = 0; y < 28; y++)); do
                if [ $y -lt 4 ] || [ $y -gt 23 ]; then
                    printf '\0%.0s' {1..28}
                else
                    printf '\0\0\0\0'
                    printf "\\x$(printf %02x $((100 + 10 * i)))%.0s" {1..20}
                    printf '\0\0\0\0'
                fi
            done
        done
    } >"$T/$1-images"
    {
        bytes 0 0 8 1 0 0 0 "$2"
        for ((i = 0; i < $2; i++)); do bytes $((i % 10)); done
    } >"$T/$1-labels"
}

[ -x "$O" ] || { echo "not ok 1 - $O is built"; exit 1; }

# ---- command line ----
fails "no command is a usage error" 64 "usage: ohemdata"
fails "an unknown command is named" 64 "unknown command 'scene'" scene
fails "an unknown option names the near one" 64 "did you mean '--force'" idx --forse a b c
fails "a missing argument is a usage error" 64 "3 arguments are wanted, got 1" idx a
fails "a number is checked" 64 "--count: wants a whole number" scenes --count -3
says "help goes to stdout" "usage: ohemdata voc" voc --help

# ---- idx ----
make_idx a 10
gzip -k "$T/a-images" "$T/a-labels"
says "idx reads gzip" "10 records of 1x28x28" idx "$T/a-images.gz" "$T/a-labels.gz" "$T/a.lmdb"
says "idx reads plain files too" "10 records" idx "$T/a-images" "$T/a-labels" "$T/plain.lmdb"
cmp -s "$T/a.lmdb/data.mdb" "$T/plain.lmdb/data.mdb"
result $? "both give the same database"
says "info counts the labels" "label 9: 1" info "$T/a.lmdb"
says "keys are eight digits" "key 00000000" info "$T/a.lmdb"
fails "an existing output is not touched" 73 "exists; --force" idx "$T/a-images" "$T/a-labels" "$T/a.lmdb"
says "--force replaces a database" "10 records" idx --force "$T/a-images" "$T/a-labels" "$T/a.lmdb"
mkdir "$T/precious" && echo x >"$T/precious/diary"
fails "--force leaves other folders alone" 73 "diary" idx --force "$T/a-images" "$T/a-labels" "$T/precious"
[ -f "$T/precious/diary" ]
result $? "the other folder's file is still there"
head -c 5000 "$T/a-images" >"$T/cut"
fails "a truncated file is an error" 65 "truncated" idx "$T/cut" "$T/a-labels" "$T/x.lmdb"
head -c -30 "$T/a-images.gz" >"$T/cut.gz"
fails "so is a truncated gzip file" 65 "$T/cut.gz" idx "$T/cut.gz" "$T/a-labels" "$T/x.lmdb"
head -c -4 "$T/a-images.gz" >"$T/cut2.gz"
fails "and one without its last four bytes" 65 "$T/cut2.gz" idx "$T/cut2.gz" "$T/a-labels" "$T/x.lmdb"
fails "labels are not images" 65 "not an IDX file of images" idx "$T/a-labels" "$T/a-labels" "$T/x.lmdb"
make_idx b 9
fails "counts must agree" 65 "10 images but" idx "$T/a-images" "$T/b-labels" "$T/x.lmdb"
fails "a missing file is named" 66 "nowhere" idx "$T/nowhere" "$T/a-labels" "$T/x.lmdb"
[ ! -e "$T/x.lmdb" ]
result $? "a failed run leaves nothing behind"
says "mean of known pixels" "mean_value: 73.9796" mean "$T/a.lmdb" "$T/mean.binaryproto"
[ "$(stat -c %s "$T/mean.binaryproto")" -ge 3136 ]
result $? "the mean image is written"

# ---- scenes ----
scenes="scenes --images $T/a-images.gz --labels $T/a-labels.gz --count 6"
says "scenes are made" "6 scenes of 160x160" $scenes --seed 7 --out "$T/s1.lmdb" --sheet "$T/s.png"
[ "$(head -c 4 "$T/s.png" | tail -c 3)" = PNG ]
result $? "the sheet is a PNG"
run $scenes --seed 7 --out "$T/s2.lmdb"
cmp -s "$T/s1.lmdb/data.mdb" "$T/s2.lmdb/data.mdb"
result $? "the same seed gives the same bytes"
run $scenes --seed 8 --out "$T/s3.lmdb"
! cmp -s "$T/s1.lmdb/data.mdb" "$T/s3.lmdb/data.mdb"
result $? "another seed gives others"
[ "$(head -n 1 "$T/s1.lmdb/classes.txt"),$(wc -l <"$T/s1.lmdb/classes.txt")" = background,11 ]
result $? "classes.txt has background and ten names"
says "every scene passes the check" "6 records, 0 bad" check "$T/s1.lmdb"
for e in none jpeg; do
    run $scenes --encode $e --out "$T/s-$e.lmdb"
    says "so do those stored as $e" "6 records, 0 bad" check "$T/s-$e.lmdb"
done
run $scenes --size 240x200 --out "$T/s-big.lmdb"
says "canvases can be larger" "shape 3x200x240: 6" info "$T/s-big.lmdb"
fails "a canvas must hold a product" 64 "--size" $scenes --size 40x40 --out "$T/x.lmdb"
fails "the encoding is checked" 64 "none, png or jpeg, got 'gif'" $scenes --encode gif --out "$T/x.lmdb"
says "get draws a record" "drawn.png: 160x160" get "$T/s1.lmdb" 00000000 "$T/drawn.png"
fails "get names a missing key" 66 "no key '77'" get "$T/s1.lmdb" 77 "$T/x.png"

# ---- voc ----
V=$T/voc
mkdir -p "$V/Annotations" "$V/JPEGImages" "$V/ImageSets/Main"
png=$T/drawn.png # 480x480

box() { # CLASS XMIN YMIN XMAX YMAX
    printf '<object>\n<name>%s</name>\n<difficult>0</difficult>\n<bndbox>\n' "$1"
    printf '<xmin>%s</xmin><ymin>%s</ymin><xmax>%s</xmax><ymax>%s</ymax>\n' "$2" "$3" "$4" "$5"
    printf '</bndbox>\n</object>\n'
}

xml() { # ID WIDTH HEIGHT OBJECTS
    printf '<annotation>\n<size><width>%s</width><height>%s</height></size>\n%s\n</annotation>\n' \
        "$2" "$3" "$4" >"$V/Annotations/$1.xml"
}

good=$(box cat 11 21 110 220)
xml good 480 480 "$good"
xml clipped 480 480 "$(box dog 0 1 490 100)"
xml faults 480 480 "$good
$(box cat 100 10 50 20)
$(box cat 5 5 5 90)
$(box cat 600 10 700 20)
$(box cow 1 1 90 90)
$(box cat one 1 90 90)
<object><name>cat</name></object>
<object><bndbox><xmin>1</xmin></bndbox></object>
$(box cat 1 1 3 3)"
xml noimage 480 480 "$good"
xml size 640 480 "$good"
xml badjpeg 480 480 "$good"
xml allbad 480 480 "$(box cow 1 1 90 90)"
printf '<annotation>\n<object>\n</annotation>\n' >"$V/Annotations/notxml.xml"
for i in good clipped faults size notxml allbad; do cp "$png" "$V/JPEGImages/$i.png"; done
head -c 900 "$png" >"$V/JPEGImages/badjpeg.jpg"
printf 'good 1\nclipped -1\n' >"$V/ImageSets/Main/ok.txt"
printf 'good\nfaults\nnoimage\n\nsize\nbadjpeg\nnotxml\nnoxml\nallbad\n' >"$V/ImageSets/Main/bad.txt"
printf 'notxml\n' >"$V/ImageSets/Main/none.txt"
A=$V/Annotations

voc="voc --root $V"
says "a good set converts" "2 of 2 images, 2 boxes of 2 classes" $voc --set ok --out "$T/v1.lmdb"
warns "a box over the border is clipped aloud" "$A/clipped.xml:6: warning: box of 'dog' clipped"
says "auto classes are sorted" "label 1 cat: 1" info "$T/v1.lmdb"
says "the records are sound" "2 records, 0 bad" check "$T/v1.lmdb"
says "boxes are drawn" "1 boxes" get "$T/v1.lmdb" 00000000_good "$T/x.png"
says "a faulty set converts what is sound" "2 of 8 images, 2 boxes of 2 classes" \
    $voc --set bad --classes cat,dog --min-size 4 --out "$T/v2.lmdb"
cp "$T/err" "$T/faults"
warns "xmax < xmin has its line" "$A/faults.xml:13: box of 'cat': xmax must be > xmin, got 50 and 100"
warns "zero size" "box of 'cat' has zero size: xmin = xmax = 5"
warns "box outside" "box of 'cat' is outside the image of 480x480"
warns "unknown class" "unknown class 'cow'"
warns "not a number" "wants a number, got 'one'"
warns "no bndbox" "object 'cat' has no bndbox"
warns "no name" "object has no name"
warns "too small" "smaller than --min-size 4, got 3x3"
warns "missing image, at its line of the list" "bad.txt:3: no image"
warns "wrong declared size" "$A/size.xml:2: size says 640x480 but the image is 480x480"
warns "undecodable image" "bad.txt:6: "
warns "malformed XML with line and column" "$A/notxml.xml:3:"
warns "missing annotation" "noxml.xml"
warns "an image without a usable object" "allbad.xml: warning: no usable object"
says "--keep-empty keeps it" "3 of 8 images" \
    $voc --set bad --classes @"$T/v1.lmdb/classes.txt" --min-size 4 --keep-empty --out "$T/v3.lmdb"
fails "--on-error fail stops at the first" 65 "faults.xml:13: box of 'cat': xmax must be > xmin" \
    $voc --set bad --classes cat,dog --on-error fail --out "$T/v4.lmdb"
[ ! -e "$T/v4.lmdb" ]
result $? "and leaves nothing behind"
fails "a set without a usable image" 65 "none of 1 images" $voc --set none --classes cat --out "$T/v5.lmdb"
fails "a missing set" 66 "nosuch.txt" $voc --set nosuch --out "$T/v5.lmdb"
fails "a class twice" 64 "'cat' is there twice" $voc --set ok --classes cat,cat --out "$T/v5.lmdb"
fails "--on-error is checked" 64 "must be skip or fail, got 'warn'" \
    $voc --set ok --on-error warn --out "$T/v5.lmdb"

# ---- images ----
cp "$png" "$T/my picture.png"
printf 'drawn.png 3\nmy picture.png 4\ngone.png 5\n' >"$T/list"
says "images converts and skips" "2 of 3 images, 1 skipped" images "$T/list" "$T" "$T/i1.lmdb" --resize 32x24
warns "the skipped one has its line" "$T/list:3: 'gone.png'"
says "resized" "shape 3x24x32: 2" info "$T/i1.lmdb"
says "names with blanks are split at the last one" "key 00000001_my picture.png" info "$T/i1.lmdb"
says "grey and encoded" "2 of 3 images" images "$T/list" "$T" "$T/i2.lmdb" --gray --encoded --shuffle
says "grey and encoded records are sound" "2 records, 0 bad" check "$T/i2.lmdb"
says "mean of different sizes has channels only" "mean_value" mean "$T/i2.lmdb"
printf 'drawn.png 3\nnolabel\n' >"$T/list2"
fails "a line without a label has its place" 65 "$T/list2:2: wants 'path label'" images "$T/list2" "$T" "$T/x.lmdb"
printf 'drawn.png three\n' >"$T/list3"
fails "a label must be a number" 65 "got 'three'" images "$T/list3" "$T" "$T/x.lmdb"

# ---- check on damage ----
run $scenes --encode png --out "$T/d.lmdb"
# the first PNG header of the file is spoiled in place
at=$(grep -abo 'IHDR' "$T/d.lmdb/data.mdb" | head -n 1 | cut -d: -f 1)
printf 'XXXX' | dd of="$T/d.lmdb/data.mdb" bs=1 seek="$at" conv=notrunc 2>/dev/null
fails "check counts the bad record" 65 "got 1 bad of 6" check "$T/d.lmdb"
warns "check names its key" "key '0000000"
mkdir "$T/junk.lmdb" && head -c 8192 /dev/urandom >"$T/junk.lmdb/data.mdb"
fails "what is no LMDB is said so" 65 "junk.lmdb" info "$T/junk.lmdb"
fails "a missing LMDB" 66 "nowhere.lmdb" check "$T/nowhere.lmdb"

echo "1..$n"
