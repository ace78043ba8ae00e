/** The words of classes in both languages, as in `pyojeong.core.labels`. */

/** @typedef {'ko' | 'en'} Language */

/** @type {Readonly<Record<string, string>>} the English word for each of AI Hub's Korean classes */
const ENGLISH = { 기쁨: 'joy', 당황: 'embarrassed', 분노: 'anger', 불안: 'anxiety', 상처: 'hurt', 슬픔: 'sadness', 중립: 'neutral' };

/** @type {Readonly<Record<string, string>>} the Korean word for face-api.js's classes and for the English words above */
const KOREAN = {
  ...Object.fromEntries(Object.entries(ENGLISH).map(([korean, english]) => [english, korean])),
  neutral: '중립', happy: '기쁨', sad: '슬픔', angry: '분노', fearful: '두려움', disgusted: '혐오', surprised: '놀람',
};

/**
 * Returns the word for a class in a language; a class of the user's own as it is.
 *
 * @param {string} name
 * @param {Language} language
 */
export function wordIn(language, name) {
  const words = language === 'ko' ? KOREAN : ENGLISH;
  return Object.hasOwn(words, name) ? /** @type {string} */ (words[name]) : name;
}

/** @param {string} text */
export function languageOf(text) {
  return /[가-힣]/.test(text) ? 'ko' : 'en';
}
