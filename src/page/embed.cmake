# Files as arrays of bytes in a C file; run at build time.
#   cmake -DOUT=FILE -DNAMES=a;b -DFILES=path;path -P embed.cmake
set(text "#include \"src/page/assets.h\"\n\n")
set(table "")
foreach(name file IN ZIP_LISTS NAMES FILES)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
  string(APPEND text "static const unsigned char bytes_${name}[] = {\n${bytes}0};\n")
  string(APPEND table "    {\"${name}\", bytes_${name}, sizeof bytes_${name} - 1},\n")
endforeach()
list(LENGTH NAMES count)
string(APPEND text "\nconst struct asset assets[] = {\n${table}};\nconst int asset_count = ${count};\n")
file(WRITE ${OUT} "${text}")
