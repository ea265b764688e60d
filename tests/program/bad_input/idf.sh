# idf.tsv beside a tokenizer: the file and its line.
section idf


idf() { # NAME LINE PATTERN TEXT
    printf "$4" >m/idf.tsv
    refuses "$1" 1 "m/idf.tsv:$2: $3" score --model m --data "$line" --out out
}
cp -r "$golden/bf16/model" m
idf "empty" 1 'an idf table starts with' ''
idf "no number of documents" 1 'an idf table starts with' 'lamp\t1\t1\n'
idf "a negative number of documents" 1 'an idf table starts with' 'documents\t-3\n'
idf "too many documents for 64 bits" 1 'an idf table starts with' 'documents\t9999999999999999999\n'
idf "lines that end in a return" 1 'an idf table starts with' 'documents\t3\r\nlamp\t1\t1\r\n'
idf "no tab" 3 'not "word<TAB>' 'documents\t3\nlamp\t1\t1\nred 1 1\n'
idf "an empty word" 2 'not "word<TAB>' 'documents\t3\n\t1\t1\n'
idf "cut" 3 'not "word<TAB>|counts that cannot be' 'documents\t3\nlamp\t1\t1\nred\t1'
idf "a missing column" 2 'counts that cannot be' 'documents\t3\nlamp\t1\n'
idf "a column more" 2 'counts that cannot be' 'documents\t3\nlamp\t1\t1\t1\n'
idf "a negative count" 2 'counts that cannot be' 'documents\t3\nlamp\t-1\t1\n'
idf "more documents than there are" 2 'counts that cannot be' 'documents\t3\nlamp\t4\t4\n'
idf "fewer occurrences than documents" 2 'counts that cannot be' 'documents\t3\nlamp\t2\t1\n'
idf "no occurrence" 2 'counts that cannot be' 'documents\t3\nlamp\t0\t0\n'
idf "a word twice" 4 'the word stands twice' 'documents\t3\nlamp\t1\t1\nred\t1\t1\nlamp\t2\t2\n'
idf "a zero byte" 2 '(not|a zero byte)' 'documents\t3\nla\0mp\t1\t1\n'
idf "not UTF-8" 2 '.*UTF-8' 'documents\t3\nla\377mp\t1\t1\n'
idf "a model for a table" 1 'an idf table starts with' "$(head -c 40 "$words/spiece.model" | tr -d '\0%%')"
rm m/idf.tsv
mkdir t
printf 'documents\t3\nlamp\t4\t4\n' >t/idf.tsv
cp "$words"/*.model "$words"/*.json t
refuses "in tokenizer.path" 1 '(rank 0: )?t/idf.tsv:2: counts' train --config "$tiny" --set tokenizer.path=t --run run
rm t/idf.tsv
refuses "none to prune by" 1 'history.prune: t: there is no table of how rare words are' score \
    --model m --set tokenizer.path=t --set history.prune=idf --data "$line" --out out
